"""Files and directories that another program may have prepared: links, devices, endless files, directories of others.

A path that the operator names may be a symbolic link. A path that this program composes may not: another program
that can write to its directory could lead it elsewhere.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from app.kit.crash_points import step
from app.kit.errors import OperatorError

MARKER = ".made-by-mien"
"""A file in each directory that this program makes and clears. Directories without it are never cleared."""
CHUNK_BYTES = 1024 * 1024
"""Bytes that are overwritten at once."""
_KINDS = {"rb": os.O_RDONLY, "r+b": os.O_RDWR, "ab+": os.O_RDWR | os.O_CREAT | os.O_APPEND, "xb": os.O_WRONLY}
LINK = "is a symbolic link, which could lead anywhere: remove it"
IRREGULAR = "is no regular file: name a regular one"
IS_DIRECTORY = "is a directory: name a file"
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class UnsafeFileError(OperatorError):
    """A file or directory is not of the expected kind; the text names it and the next step."""


def open_regular(path: Path, mode: str = "rb", *, follow: bool = False, permissions: int = 0o600) -> BinaryIO:
    """Open a regular file. Never waits for another program.

    Args:
        path: the file.
        mode: `rb`, `r+b`, `ab+` or `xb`.
        follow: whether it may be a symbolic link.
        permissions: of a new file, less the process's mask.

    Raises:
        UnsafeFileError: it is a symbolic link, a device, a pipe or a directory.
    """
    flags = _KINDS[mode] | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    flags |= os.O_CREAT | os.O_EXCL if mode == "xb" else 0
    try:
        handle = os.open(path, flags, permissions)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise _refusal(path, LINK) from error
        raise
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        raise _refusal(path, IS_DIRECTORY if stat.S_ISDIR(kind) else IRREGULAR)
    file: BinaryIO = os.fdopen(handle, "wb" if mode == "xb" else mode)  # type: ignore[assignment]
    return file


def _refusal(path: Path, reason: str) -> UnsafeFileError:
    return UnsafeFileError(f"{path} {reason}")


def refuse_irregular(path: Path) -> None:
    """Refuse a link, a device or a pipe, without opening it: a process that closes a file loses its locks on it.

    Raises:
        UnsafeFileError: it is one.
    """
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise _refusal(path, LINK)
        if not stat.S_ISREG(mode):
            raise _refusal(path, IRREGULAR)


def find_exposure(path: Path) -> str | None:
    """Return why other users could read or change a file or a directory; None if only its owner can, who runs this."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if found.st_uid != os.geteuid():
        return f"{path} belongs to another user: give it to the user of the service (chown)"
    if found.st_mode & 0o077:
        return f"{path} is open to other users: close it (chmod {'700' if stat.S_ISDIR(found.st_mode) else '600'})"
    return None


def read_limited(path: Path, *, max_bytes: int, follow: bool = True) -> bytes:
    """Return the content of a regular file.

    Raises:
        UnsafeFileError: it is no regular file, or has more than *max_bytes*.
    """
    with open_regular(path, follow=follow) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise _refusal(path, f"has more than {max_bytes} bytes: name another file")
    return content


def replace_file(path: Path, content: bytes, *, permissions: int = 0o666) -> None:
    """Write a file completely or not at all, and have the disk confirm it. A link with its name is replaced."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, permissions), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    fsync(path.parent)


def destroy_file(path: Path) -> None:
    """Overwrite the blocks of a file, and remove it; copies in a drive or a snapshot are out of reach."""
    with open_regular(path, "r+b") as file:
        left = os.fstat(file.fileno()).st_size
        while left:
            left -= file.write(bytes(min(left, CHUNK_BYTES)))
        file.flush()
        os.fsync(file.fileno())
    step(f"{path.name} overwritten")
    path.unlink()
    fsync(path.parent)
    step(f"{path.name} removed")


def fsync(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def work_directory(path: Path) -> Iterator[int]:
    """Make a directory that only this program uses, or take the one that an earlier process left; give its handle.

    Raises:
        UnsafeFileError: another program or another user made the one that is there.
    """
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    in_the_way = _refusal(path, "is in the way, and Mien did not make it: move it elsewhere")
    try:
        handle = os.open(path, DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise in_the_way from error
        raise
    try:
        if os.fstat(handle).st_uid != os.geteuid() or (os.listdir(handle) and not _is_marked(handle)):  # noqa: PTH208 - by its handle
            raise in_the_way
        yield handle
    finally:
        os.close(handle)


def mark_and_empty(handle: int) -> None:
    """Mark a work directory, and remove the files that an earlier process left in it.

    Raises:
        UnsafeFileError: it contains a directory, which this program never makes there.
    """
    if not _is_marked(handle):
        os.close(os.open(MARKER, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=handle))
    for name in os.listdir(handle):
        if name != MARKER:
            _remove_file(name, handle)


def _remove_file(name: str, handle: int) -> None:
    try:
        os.unlink(name, dir_fd=handle)
    except OSError as error:
        if stat.S_ISDIR(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
            raise UnsafeFileError(f"the directory {name} is in the way: move it elsewhere") from error
        raise


def remove_work_directory(path: Path) -> None:
    """Remove a work directory with its files, if there is one. Anything else with its name stays."""
    if not path.is_symlink() and path.is_dir():
        with suppress(OSError, UnsafeFileError), work_directory(path) as handle:
            mark_and_empty(handle)
            # The marker last: until then an interrupted removal can be continued.
            os.unlink(MARKER, dir_fd=handle)
            path.rmdir()


def _is_marked(handle: int) -> bool:
    try:
        marker = os.stat(MARKER, dir_fd=handle, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(marker.st_mode) and marker.st_uid == os.geteuid()
