"""A search for traces in every byte of a directory, which trusts no query of the service's own.

A *needle* is one thing to look for in every spelling that a store could give it: as it is, in hexadecimal, in base64 at
each alignment, in UTF-16, escaped for a URL, without its dashes. File names are searched too.

What is compressed or encrypted is not seen. Hence a scan must also be shown to find something.
"""

import base64
import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus
from uuid import UUID

SHORTEST = 8
"""Bytes. Anything shorter turns up in a megabyte of noise by chance."""
WINDOW = 64
"""Bytes of a photo that are looked for together."""
WINDOWS = 12
"""Windows taken from one photo, spread evenly over its entropy-coded data."""
START_OF_SCAN = b"\xff\xda"
"""JPEG marker after which the entropy-coded data comes (ITU-T T.81, B.1.1.3); what is before is alike in many files."""

ANY_IMAGE: tuple[bytes, ...] = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    b"\x89PNG\r\n\x1a\n",
    b"WEBPVP8 ",
    b"WEBPVP8L",
    b"WEBPVP8X",
)
"""How image files begin; a photo that was encoded anew shares nothing else with the one that was sent."""


@dataclass(frozen=True, slots=True)
class Needle:
    """One thing to look for, in all its spellings."""

    name: str
    spellings: tuple[bytes, ...]

    @classmethod
    def of(cls, name: str, values: Iterable[bytes]) -> "Needle":
        """Look for any of *values*, in every spelling of each.

        Raises:
            ValueError: one of them is so short that it would be found by chance.
        """
        spellings = dict.fromkeys(spelling for value in values for spelling in spelled(value))
        if not spellings or min(map(len, spellings)) < SHORTEST:
            msg = f"{name}: fewer than {SHORTEST} bytes are found by chance"
            raise ValueError(msg)
        return cls(name, tuple(spellings))


@dataclass(frozen=True, slots=True)
class Trace:
    """A needle that was found, and where: *offset* in bytes, or -1 in the file's name."""

    needle: str
    path: Path
    offset: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What was searched, and what was found."""

    files: int
    size: int
    traces: tuple[Trace, ...]

    def found(self, name: str) -> bool:
        """Say whether the needle called *name* was found."""
        return any(trace.needle == name for trace in self.traces)


def scan(directory: Path, needles: Sequence[Needle]) -> Scan:
    """Search every file under *directory*, and its name, for every needle."""
    size = 0
    traces: list[Trace] = []
    files = [path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink()]
    for path in files:
        # A file of the running service may go while it is read; then it holds nothing any more.
        with contextlib.suppress(FileNotFoundError):
            content = path.read_bytes()
            size += len(content)
            traces += _search(path.relative_to(directory), content, needles)
    return Scan(files=len(files), size=size, traces=tuple(traces))


def _search(path: Path, content: bytes, needles: Iterable[Needle]) -> Iterator[Trace]:
    name = str(path).encode()
    for needle in needles:
        for spelling in needle.spellings:
            offset = content.find(spelling)
            if offset >= 0 or spelling in name:
                yield Trace(needle=needle.name, path=path, offset=offset)
                break


def spelled(value: bytes) -> Iterator[bytes]:
    """Spell *value* as it is, in hexadecimal and in base64."""
    yield value
    yield value.hex().encode()
    yield value.hex().upper().encode()
    yield from in_base64(value)


def in_base64(value: bytes) -> Iterator[bytes]:
    """Spell *value* as it stands inside a longer base64 text: the characters that depend on *value* alone.

    Three bytes are four characters, so there are three alignments; and two alphabets.
    """
    for before in range(3):
        text = base64.b64encode(b"\0" * before + value)
        first = -(-before * 8 // 6)
        last = (before + len(value)) * 8 // 6
        yield text[first:last]
        yield text[first:last].translate(bytes.maketrans(b"+/", b"-_"))


def text_needle(name: str, text: str) -> Needle:
    """Look for a text: a name, a token, a code, an id."""
    undashed = text.replace("-", "")
    plain = (text, undashed, undashed.replace(" ", ""))
    texts = {form for each in plain for form in (each, each.lower(), each.upper())}
    values = [form.encode(code) for form in texts for code in ("utf-8", "utf-16-le", "utf-16-be")]
    values += [quote(text, safe="").encode(), quote_plus(text).encode(), *_unspelled(text)]
    return Needle.of(name, values)


def _unspelled(text: str) -> Iterator[bytes]:
    """Yield the bytes that *text* may be a spelling of: a store can hold those instead."""
    with contextlib.suppress(ValueError):
        yield UUID(text).bytes
        yield UUID(text).bytes_le
    # A token begins with what it is for: `mien_sub_…`.
    secret = re.sub("^mien_[a-z]+_", "", text)
    with contextlib.suppress(ValueError):
        decoded = base64.b64decode(secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True)
        if len(decoded) >= SHORTEST:
            yield decoded


def photo_needle(name: str, photo: bytes) -> Needle:
    """Look for pieces of a JPEG file, so that a part of it is found as well as the whole."""
    start = photo.index(START_OF_SCAN)
    step = (len(photo) - start - 2 * WINDOW) // WINDOWS
    places = [start + WINDOW + number * step for number in range(WINDOWS)]
    return Needle.of(name, [photo[place : place + WINDOW] for place in places])


def hash_needle(name: str, content: bytes) -> Needle:
    """Look for a SHA-256 hash; a holder of the hashed value could identify its owner by it."""
    return Needle.of(name, [hashlib.sha256(content).digest()])


def image_needle(name: str) -> Needle:
    """Look for the beginning of any image file."""
    return Needle.of(name, ANY_IMAGE)
