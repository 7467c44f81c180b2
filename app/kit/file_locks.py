"""Locks between processes, on files and directories.

The kernel releases a lock when its process ends, also when that is killed. Engine workers do not inherit locks.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.kit.files import open_regular


@contextmanager
def try_lock(file: Path, *, mode: int = fcntl.LOCK_EX) -> Iterator[bool]:
    """Hold the lock on *file* in the block, which gets whether it has it. Does not wait."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_regular(file, "ab+") as opened:
        descriptor = os.dup(opened.fileno())
    with hold(descriptor, mode) as held:
        yield held


@contextmanager
def hold(descriptor: int, mode: int = fcntl.LOCK_EX, *, wait: bool = False) -> Iterator[bool]:
    """Lock an open file or directory in the block, which gets whether it is locked; close it at the end.

    Args:
        descriptor: a descriptor of its own.
        mode: `LOCK_EX`, or `LOCK_SH` to share the lock.
        wait: whether to wait for other holders.
    """
    try:
        try:
            fcntl.flock(descriptor, mode if wait else mode | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
