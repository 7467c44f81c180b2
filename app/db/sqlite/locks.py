"""Locks on files. The kernel releases a lock when its process ends, also when that is killed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.kit.files import open_regular


@contextmanager
def try_lock(file: Path) -> Iterator[bool]:
    """Hold the lock on *file* in the block, which gets whether it has it. Does not wait."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_regular(file, "ab+") as opened:
        descriptor = os.dup(opened.fileno())
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
