"""Search every byte of a directory for personal data, without trusting the service's own queries.

A *needle* is a value with every spelling that a store could give it: plain, hexadecimal, base64 at each alignment,
UTF-16, escaped for a URL, without its dashes. File names are searched too. Compressed and encrypted content stays
unseen, so each scan has to find something as well, as a control.
"""

import base64
import contextlib
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus
from uuid import UUID

SHORTEST = 8
"""Bytes. A shorter value occurs in a megabyte of random bytes by chance."""
WINDOW = 64
"""Bytes of one searched piece of a photo."""
WINDOWS = 12
"""Pieces of one photo, spread evenly over its entropy-coded data."""
START_OF_SCAN = b"\xff\xda"
"""JPEG marker before the entropy-coded data (ITU-T T.81, B.1.1.3); the bytes before it are alike in many files."""
IMAGE_HEADERS = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    b"\x89PNG\r\n\x1a\n",
    b"WEBPVP8 ",
    b"WEBPVP8L",
    b"WEBPVP8X",
)
"""First bytes of image files; a photo that was encoded again shares nothing else with the one that was sent."""


@dataclass(frozen=True, slots=True)
class Needle:
    """One value to search for, in all its spellings."""

    name: str
    spellings: tuple[bytes, ...]

    @classmethod
    def of(cls, name: str, values: Iterable[bytes]) -> "Needle":
        """Return a needle for any of *values*.

        Raises:
            ValueError: a spelling is so short that it would be found by chance.
        """
        spellings = tuple(dict.fromkeys(spelling for value in values for spelling in spellings_of(value)))
        if not spellings or min(map(len, spellings)) < SHORTEST:
            msg = f"{name}: fewer than {SHORTEST} bytes are found by chance"
            raise ValueError(msg)
        return cls(name, spellings)


@dataclass(frozen=True, slots=True)
class Trace:
    """The place of a found needle: *offset* in bytes, or -1 in the file's name."""

    needle: str
    path: Path
    offset: int


@dataclass(frozen=True, slots=True)
class Scan:
    """The extent and the result of a search; *size* in bytes."""

    files: int
    size: int
    traces: tuple[Trace, ...]

    def found(self, name: str) -> bool:
        """Return whether the needle called *name* was found."""
        return any(trace.needle == name for trace in self.traces)


def scan(directory: Path, needles: Sequence[Needle], *, known: Collection[str] = ()) -> Scan:
    """Search every file under *directory*, and its name, for every needle.

    Args:
        directory: all files of the service.
        needles: the values to find.
        known: SHA-256 of files that are equal in every service, and left out.
    """
    size = 0
    traces: list[Trace] = []
    files = [path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink()]
    for path in files:
        # The running service may delete a file meanwhile.
        with contextlib.suppress(FileNotFoundError):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() in known:
                continue
            size += len(content)
            traces += _search(path.relative_to(directory), content, needles)
    return Scan(files=len(files), size=size, traces=tuple(traces))


def _search(path: Path, content: bytes, needles: Iterable[Needle]) -> Iterator[Trace]:
    name = str(path).encode()
    for needle in needles:
        for spelling in needle.spellings:
            offset = content.find(spelling)
            if offset >= 0 or spelling in name:
                yield Trace(needle.name, path, offset)
                break


def spellings_of(value: bytes) -> Iterator[bytes]:
    """Yield *value* plain, in hexadecimal and in base64."""
    yield value
    yield value.hex().encode()
    yield value.hex().upper().encode()
    # Inside a longer base64 text: three alignments and two alphabets; only the characters that no other byte changes.
    for before in range(3):
        text = base64.b64encode(b"\0" * before + value)[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]
        yield text
        yield text.translate(bytes.maketrans(b"+/", b"-_"))


def text_needle(name: str, text: str) -> Needle:
    """Return a needle for a text: a name, a token, a code, an id."""
    undashed = text.replace("-", "")
    texts = {
        form for each in (text, undashed, undashed.replace(" ", "")) for form in (each, each.lower(), each.upper())
    }
    values = [form.encode(code) for form in texts for code in ("utf-8", "utf-16-le", "utf-16-be")]
    values += [quote(text, safe="").encode(), quote_plus(text).encode(), *_decoded(text)]
    return Needle.of(name, values)


def _decoded(text: str) -> Iterator[bytes]:
    """Yield the bytes of an id or a token: a store can hold those instead of the text."""
    with contextlib.suppress(ValueError):
        yield UUID(text).bytes
        yield UUID(text).bytes_le
    # A token begins with its use: `mien_sub_…`.
    secret = re.sub("^mien_[a-z]+_", "", text)
    with contextlib.suppress(ValueError):
        decoded = base64.b64decode(secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True)
        if len(decoded) >= SHORTEST:
            yield decoded


def photo_needle(name: str, photo: bytes) -> Needle:
    """Return a needle for pieces of a JPEG file, so that a part of it is found as well as the whole."""
    start = photo.index(START_OF_SCAN)
    step = (len(photo) - start - 2 * WINDOW) // WINDOWS
    places = [start + WINDOW + number * step for number in range(WINDOWS)]
    return Needle.of(name, [photo[place : place + WINDOW] for place in places])


def hash_needle(name: str, content: bytes) -> Needle:
    """Return a needle for the SHA-256 of *content*, by which a reader of the store could identify its owner."""
    return Needle.of(name, [hashlib.sha256(content).digest()])


def image_needle(name: str) -> Needle:
    """Return a needle for the beginning of any image file."""
    return Needle.of(name, IMAGE_HEADERS)
