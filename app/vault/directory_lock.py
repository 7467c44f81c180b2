"""Locks of the data directory, and of other directories, between processes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.kit.errors import OperatorError
from app.kit.file_locks import hold, try_lock
from app.kit.files import DIRECTORY, remove_work_directory

LOCK_FILE = "lock"
SERVICE_LOCK_FILE = "service.lock"
STAGE = "restoring"
"""The directory in which a restore prepares the data."""


class InUseError(OperatorError):
    """Another process uses the data directory; the text tells the operator how to continue."""


@contextmanager
def in_use(directory: Path) -> Iterator[None]:
    """Share the data directory with others, and exclude a restore.

    Raises:
        InUseError: a restore is in progress.
    """
    remedy = "a backup is being restored there; try again when that is done"
    with _data_lock(directory / LOCK_FILE, fcntl.LOCK_SH, remedy):
        # A killed restore may have left it, with rows of subjects who have since erased their data.
        remove_work_directory(directory / STAGE)
        yield


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Exclude all others from the data directory.

    Raises:
        InUseError: the service or a command uses it.
    """
    remedy = "the service or a command is using it; stop that first"
    with _data_lock(directory / LOCK_FILE, fcntl.LOCK_EX, remedy):
        yield


@contextmanager
def serving(directory: Path, *, only_one: bool = True) -> Iterator[None]:
    """Serve from the data directory. Commands may use it too, but no restore.

    Args:
        directory: the data directory.
        only_one: whether no other service may do so. On SQLite the processes could not tell each other of changes.

    Raises:
        InUseError: another service runs on it, or a restore is in progress.
    """
    remedy = "another `mien serve` runs on it, and SQLite data can have only one; stop that first"
    with in_use(directory):
        if not only_one:
            yield
            return
        with _data_lock(directory / SERVICE_LOCK_FILE, fcntl.LOCK_EX, remedy):
            yield


@contextmanager
def locked(directory: Path | int, *, busy: Exception | None = None) -> Iterator[None]:
    """Lock *directory* against other callers of this function.

    Args:
        directory: the directory, or a handle of it.
        busy: raised if another process has the lock. None waits for the lock.
    """
    handle = os.dup(directory) if isinstance(directory, int) else os.open(directory, DIRECTORY)
    with hold(handle, wait=busy is None) as held:
        if busy is not None and not held:
            raise busy
        yield


@contextmanager
def _data_lock(file: Path, mode: int, remedy: str) -> Iterator[None]:
    with try_lock(file, mode=mode) as held:
        if not held:
            raise InUseError(f"{file.parent} is in use: {remedy}")
        yield
