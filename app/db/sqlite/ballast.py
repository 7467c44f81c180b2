"""Disk space kept for endings: a file of allocated blocks beside a database.

An ending that meets a full disk releases the file and runs again. Until the file is whole again, only endings write, so
that new data cannot take the space that the next ending needs.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

PIECE = 1024 * 1024
"""Bytes by which the file grows, so that it keeps the last space of a nearly full disk too."""
LOW_BYTES = PIECE
"""With less room the disk counts as full: SQLite may be unable to open a database, for want of its `-shm` file."""
FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")
"""Names of the errors of a disk without room. The second is that of an exhausted quota."""
_ending: ContextVar[bool] = ContextVar("ending", default=False)


def is_full(error: BaseException) -> bool:
    """Return whether SQLite found no room on the disk."""
    return getattr(getattr(error, "orig", error), "sqlite_errorname", "") in FULL


def in_ending() -> bool:
    """Return whether the running code ends something."""
    return _ending.get()


class Ballast:
    """The file beside one database. Thread-safe; other processes may release or fill it meanwhile.

    Args:
        path: the file.
        size: bytes; with 0 there is no file.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size
        self._lock = threading.Lock()
        self._endings = 0

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Allow writes in the block while the file is not whole. After the last such block it is filled again."""
        with self._lock:
            self._endings += 1
        token = _ending.set(True)
        try:
            yield
        finally:
            _ending.reset(token)
            with self._lock:
                self._endings -= 1
                if not self._endings and not self._is_whole():
                    self._fill()

    def release(self) -> bool:
        """Free the blocks. Returns whether there were any."""
        with self._lock, suppress(OSError):
            had = self.path.stat(follow_symlinks=False).st_size > 0
            descriptor = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)
            return had
        return False

    def release_if_low(self) -> None:
        """Free the blocks if the disk has no room to open a database."""
        if self.is_disk_low():
            self.release()

    def is_disk_low(self) -> bool:
        """Return whether the disk has almost no room."""
        return self._free_bytes() < LOW_BYTES

    def _free_bytes(self) -> int:
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize

    def is_whole(self) -> bool:
        """Return whether the file has its size; if not, try to fill it first."""
        if self._is_whole():
            return True
        with self._lock:
            # An ending in progress may need the room that it has made.
            if not self._endings or self._free_bytes() >= 2 * self.size:
                self._fill()
        return self._is_whole()

    def _is_whole(self) -> bool:
        try:
            return not self.size or self.path.stat(follow_symlinks=False).st_size >= self.size
        except OSError:
            return False

    def _fill(self) -> None:
        """Let the file grow until it is whole or the disk is full."""
        with suppress(OSError):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                while (start := os.fstat(descriptor).st_size) < self.size:
                    _allocate(descriptor, start, min(PIECE, self.size - start))
            finally:
                os.close(descriptor)


def _allocate(descriptor: int, start: int, length: int) -> None:
    """Add *length* bytes of allocated blocks; on an error the file keeps its size.

    Raises:
        OSError: there is no room.
    """
    try:
        os.posix_fallocate(descriptor, start, length)
        if os.fstat(descriptor).st_blocks * 512 < start + length:
            # The file system compresses: only random bytes take their place.
            written = os.pwrite(descriptor, os.urandom(length), start)
            os.ftruncate(descriptor, start + written)
    except OSError:
        os.ftruncate(descriptor, start)
        raise
