"""A disk that takes the log and not the database: commits succeed, emptying the log fails with a system error."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.db.sqlite.store import Store
from app.settings import Settings
from tests.support import service_fixture


@contextmanager
def full_disk(store: Store) -> Iterator[None]:
    """Let no file of this process grow beyond half of the database; Python ignores the signal, SQLite gets EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.path.stat().st_size // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def make_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let services that are started from now on give up soon on a database that is held up."""
    patient = service_fixture.settings_for

    def settings_for(root: Path, **more: object) -> Settings:
        return patient(root, **more).model_copy(update={"sqlite_busy_s": 0.2})

    monkeypatch.setattr(service_fixture, "settings_for", settings_for)
