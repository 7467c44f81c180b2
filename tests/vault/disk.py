"""A disk that takes the log and not the database: commits succeed, emptying the log fails with a system error."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.db.sqlite.store import Store

IMPATIENT: dict[str, Any] = {"sqlite_busy_s": 0.6}
"""Settings of a service that gives up soon on a database that is held up."""


@contextmanager
def full_disk(store: Store) -> Iterator[None]:
    """Let no file of this process grow beyond half of the database; Python ignores the signal, SQLite gets EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.path.stat().st_size // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
