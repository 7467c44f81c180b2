"""A disk with room for the write-ahead log but not for the database: commits succeed, checkpoints fail."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.db.store import Store
from tests.support.sqlite_stores import in_file

IMPATIENT: dict[str, Any] = {"sqlite_busy_s": 0.6}
"""Settings of a service with a short busy time."""


@contextmanager
def full_disk(store: Store) -> Iterator[None]:
    """Limit the files of this process to half of the database; Python ignores the signal, SQLite gets EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (in_file(store).path.stat().st_size // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
