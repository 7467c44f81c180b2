"""Cache of measured images, one append-only file: an interrupted evaluation resumes from it.

It holds vectors and refusals under digests of the image's bytes and of the engine; no image, path or name. A line that
a killed process left incomplete has no end or a wrong checksum: it is skipped, and its image is measured again.
"""

import base64
import binascii
import fcntl
import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from app.evaluation.errors import EvaluationError
from app.faces.cards.card import Card
from app.faces.flaws import Flaw
from app.faces.permit import PhotoUse

FILE: Final = "measured"
Vector = npt.NDArray[np.float64]
Outcome = Vector | Flaw
"""A measured vector, or the reason for refusing the image."""


class Cache:
    """An open cache, locked for one evaluation; a context manager.

    Args:
        directory: holds the cache file; created if missing.
        card: the engine's card; entries of another engine or other weights are not found.

    Raises:
        EvaluationError: other users can read the directory, or another evaluation uses it.
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

    def key(self, image: bytes, use: PhotoUse) -> str:
        """Return the key of *image*, judged for *use*."""
        return hashlib.sha256(f"{self._engine}\0{use}\0".encode() + hashlib.sha256(image).digest()).hexdigest()

    def find(self, key: str) -> Outcome | None:
        """Return the earlier outcome of an image, if any."""
        return self._known.get(key)

    def add(self, key: str, outcome: Outcome) -> None:
        """Append the outcome of an image. It survives a kill of this process."""
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
        """Return True if there is no entry."""
        return not self._known

    def delete(self) -> None:
        """Remove the file, and its directory if the cache created it and it is empty."""
        self.path.unlink(missing_ok=True)
        if self._made_directory or self.path.parent.name == DIRECTORY:
            with suppress(OSError):  # something else is in it
                self.path.parent.rmdir()

    def __enter__(self) -> Self:
        """Return the cache."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file and release the lock."""
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
        # Remove an incomplete last line: the next entry would continue it.
        self._file.truncate(end)


DIRECTORY: Final = "mien-evaluate"
_DOUBLES: Final = "<f8"


def default_directory() -> Path:
    """Return the cache directory of the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / DIRECTORY


def _private(directory: Path) -> bool:
    """Create *directory* with mode 0700. Return False if it existed."""
    try:
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.stat()
        if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077 or found.st_uid != os.geteuid():
            raise EvaluationError(
                f"{directory} must be your own directory, closed to other users: run chmod 700 on it, or name another "
                "with --cache"
            ) from None
        return False
    return True


def _line(line: bytes, dimensions: int) -> tuple[str, Outcome] | None:
    """Parse one line; return None if it is incomplete or damaged."""
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
