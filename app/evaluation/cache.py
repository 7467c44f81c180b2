"""What was measured, kept so that an interrupted evaluation goes on where it was: one file, only ever added to.

It holds vectors and refusals under digests of the image's bytes and of what measured them; no image, no path, no name.
A line that a killed process left half-written has no end, or a wrong sum: it is passed over, and its image is measured
again.
"""

import base64
import binascii
import fcntl
import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from app.evaluation.errors import EvaluationError
from app.faces.cards.card import Card
from app.faces.flaws import Flaw

FILE: Final = "measured"
Vector = npt.NDArray[np.float64]
Outcome = Vector | Flaw
"""What became of one image."""


class Cache:
    """An open cache. One evaluation at a time.

    Args:
        directory: where its file is, or will be.
        card: of the engine; what another engine or other weights measured is not found.
    """

    def __init__(self, directory: Path, card: Card) -> None:
        self.path = directory / FILE
        self._made_directory = _private(directory)
        self._engine = f"{card.id}\0{card.weights_sha256}\0{card.pipeline}"
        self._dimensions = card.dimensions
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self.path, flags, 0o600), "r+b", buffering=0)
        self._lock()
        self._known = dict(self._read())

    def key(self, image: bytes) -> str:
        """Return under what *image* is found."""
        return hashlib.sha256(self._engine.encode() + b"\0" + hashlib.sha256(image).digest()).hexdigest()

    def find(self, key: str) -> Outcome | None:
        """Return what became of an image before."""
        return self._known.get(key)

    def add(self, key: str, outcome: Outcome) -> None:
        """Keep what became of an image. It is there after this process was killed."""
        if isinstance(outcome, Flaw):
            body = f"{key} flaw {outcome.value}"
        else:
            body = f"{key} vector {base64.b64encode(np.asarray(outcome, _DOUBLES).tobytes()).decode()}"
        line = f"{zlib.crc32(body.encode()):08x} {body}\n".encode()
        rest = memoryview(line)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._known[key] = outcome

    def empty(self) -> bool:
        """Say whether nothing is kept."""
        return not self._known

    def delete(self) -> None:
        """Remove the file, and the directory if it was made for it and holds nothing else."""
        self.path.unlink(missing_ok=True)
        if self._made_directory or self.path.parent.name == DIRECTORY:
            with suppress(OSError):  # something else is in it
                self.path.parent.rmdir()

    def close(self) -> None:
        """Let the next one in."""
        self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise EvaluationError(
                f"another evaluation is using {self.path}: wait for it, or name another directory with --cache"
            ) from error

    def _read(self) -> Iterator[tuple[str, Outcome]]:
        end = 0
        self._file.seek(0)
        with os.fdopen(os.dup(self._file.fileno()), "rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                found = _line(line, self._dimensions)
                if found is not None:
                    yield found
        # What was cut off would otherwise be the beginning of the next line.
        self._file.truncate(end)


DIRECTORY: Final = "mien-evaluate"
_DOUBLES: Final = "<f8"


def default_directory() -> Path:
    """Return where caches are, by the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / DIRECTORY


@contextmanager
def opened(directory: Path, card: Card) -> Iterator[Cache]:
    """Open the cache for one evaluation.

    Raises:
        EvaluationError: others may look into it, or another evaluation uses it.
    """
    cache = Cache(directory, card)
    try:
        yield cache
    finally:
        cache.close()


def _private(directory: Path) -> bool:
    """Make *directory* for its owner alone. Say whether it was not there."""
    try:
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.stat()
        if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077 or found.st_uid != os.geteuid():
            raise EvaluationError(
                f"{directory} has to be a directory of your own that nobody else may look into: chmod 700 it, or name "
                "another one with --cache"
            ) from None
        return False
    return True


def _line(line: bytes, dimensions: int) -> tuple[str, Outcome] | None:
    """Read one line; nothing if it is not whole."""
    try:
        checksum, body = line.decode("ascii").rstrip("\n").split(" ", 1)
        key, kind, content = body.split(" ")
        if int(checksum, 16) != zlib.crc32(body.encode()):
            return None
        if kind == "flaw":
            return key, Flaw(content)
        vector = np.frombuffer(base64.b64decode(content, validate=True), _DOUBLES)
    except (ValueError, binascii.Error):
        return None
    return (key, vector) if vector.shape == (dimensions,) and np.isfinite(vector).all() else None
