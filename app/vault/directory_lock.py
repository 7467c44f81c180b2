"""Locks between processes: of the data directory, and of other directories.

The kernel releases a lock when its process ends, also when that is killed. Engine workers do not inherit locks.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = "lock"
STAGE = "restoring"
"""The directory in which a restore prepares the data."""


class InUseError(Exception):
    """Another process uses the data directory; the text tells the operator how to continue."""


@contextmanager
def in_use(directory: Path) -> Iterator[None]:
    """Share the data directory with others, and exclude a restore.

    Raises:
        InUseError: a restore is in progress.
    """
    with _data_lock(directory, fcntl.LOCK_SH, "a backup is being restored there; try again when that is done"):
        # A killed restore may have left it, with rows of subjects who have since erased their data.
        shutil.rmtree(directory / STAGE, ignore_errors=True)
        yield


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Exclude all others from the data directory.

    Raises:
        InUseError: the service or a command uses it.
    """
    with _data_lock(directory, fcntl.LOCK_EX, "the service or a command is using it; stop that first"):
        yield


@contextmanager
def locked(directory: Path, *, busy: Exception | None = None) -> Iterator[None]:
    """Lock *directory* against other callers of this function.

    Args:
        directory: the directory.
        busy: raised if another process has the lock. None waits for the lock.
    """
    with _flock(os.open(directory, os.O_RDONLY), fcntl.LOCK_EX, busy):
        yield


@contextmanager
def _data_lock(directory: Path, mode: int, remedy: str) -> Iterator[None]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    with _flock(descriptor, mode, InUseError(f"{directory} is in use: {remedy}")):
        yield


@contextmanager
def _flock(descriptor: int, mode: int, busy: Exception | None) -> Iterator[None]:
    try:
        try:
            fcntl.flock(descriptor, mode | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError as error:
            raise (busy or error) from error
        yield
    finally:
        os.close(descriptor)
