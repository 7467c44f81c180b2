"""Who uses a data directory: many at once, or one alone that puts another database in its place.

The kernel releases the lock when a process dies, however it dies.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = "lock"
STAGE = "restoring"
"""The directory in which a backup is prepared before it takes the place of the data."""


class InUseError(Exception):
    """Another process uses the data directory; the text tells the operator the remedy."""


@contextmanager
def in_use(directory: Path) -> Iterator[None]:
    """Use the data directory together with others; meanwhile nothing is restored there.

    Raises:
        InUseError: a restore is under way.
    """
    with _locked(directory, fcntl.LOCK_SH, "a backup is just being restored there; try again when that is done"):
        # What a restore left that was killed: rows of what ended may be in it.
        shutil.rmtree(directory / STAGE, ignore_errors=True)
        yield


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Use the data directory alone.

    Raises:
        InUseError: the service or a command uses it.
    """
    with _locked(directory, fcntl.LOCK_EX, "the service or a command is using it; stop that first"):
        yield


@contextmanager
def _locked(directory: Path, how: int, otherwise: str) -> Iterator[None]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Not inherited by the engine workers, which would hold it longer than the service.
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"{directory} is in use: {otherwise}"
            raise InUseError(msg) from error
        yield
    finally:
        os.close(descriptor)
