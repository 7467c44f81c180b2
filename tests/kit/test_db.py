"""Every connection is opened so that a commit is durable and a deletion leaves no bytes; readers cannot write."""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import OperationalError

from app.db.sqlite.store import SqliteStore
from app.db.types import UtcDateTime
from tests.support.byte_scan import Needles, files_under

pytestmark = pytest.mark.service

PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "data" / "mien.db", busy_s=0.2)
    with opened.write() as session:
        session.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)"))
    yield opened
    opened.close()


@pytest.mark.parametrize("name", ["reader", "writer"])
def test_every_connection_has_every_pragma(store: SqliteStore, name: str) -> None:
    engine: Engine = getattr(store, name)
    with ExitStack() as stack:
        open_at_once = [stack.enter_context(closing(engine.raw_connection())) for _ in range(12)]
        found = [
            {pragma: one.cursor().execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in PRAGMAS}
            for one in open_at_once
        ]

    assert found == [PRAGMAS] * 12


def test_reader_cannot_write(store: SqliteStore) -> None:
    with pytest.raises(OperationalError, match="readonly"), store.read() as session:
        session.execute(text("INSERT INTO things VALUES (1, 'x')"))
    with store.write() as session:
        session.execute(text("INSERT INTO things VALUES (1, 'x')"))
    with store.read() as session:
        found = session.scalar(text("SELECT count(*) FROM things"))

    assert found == 1


def test_write_that_raises_is_rolled_back(store: SqliteStore) -> None:
    with suppress(ZeroDivisionError), store.write() as session:
        session.execute(text("INSERT INTO things VALUES (1, 'x')"))
        raise ZeroDivisionError
    with store.read() as session:
        found = session.scalar(text("SELECT count(*) FROM things"))

    assert found == 0
    assert store.open_transactions() == 0


def test_read_sees_one_moment(store: SqliteStore) -> None:
    with store.read() as session:
        before = session.scalar(text("SELECT count(*) FROM things"))
        with store.write() as writer:
            writer.execute(text("INSERT INTO things VALUES (1, 'x')"))
        during = session.scalar(text("SELECT count(*) FROM things"))
    with store.read() as session:
        after = session.scalar(text("SELECT count(*) FROM things"))

    assert (before, during, after) == (0, 0, 1)


def test_second_writer_waits_and_then_fails(store: SqliteStore) -> None:
    with store.write(), pytest.raises(OperationalError, match="locked"), store.write():
        pass


def test_checkpoint_returns_whether_deleted_bytes_are_gone(store: SqliteStore, tmp_path: Path) -> None:
    name = "something to be forgotten"
    needles = Needles().text("name", name)
    with store.write() as session:
        session.execute(text("INSERT INTO things VALUES (1, :name)"), {"name": name})
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM things").fetchone()
        with store.write() as session:
            session.execute(text("DELETE FROM things"))
        held_up = store.checkpoint()
        there = needles.found(files_under(tmp_path))
    free = store.checkpoint()
    left = needles.found(files_under(tmp_path))

    assert (held_up, there) == (False, ["name in mien.db-wal"])
    assert (free, left) == (True, [])


def test_checkpoint_that_the_system_refuses_returns_false(store: SqliteStore) -> None:
    """A PRAGMA on the raw connection fails with the driver's own error, which no handler of ours knows."""
    with store.write() as session:
        session.execute(text("INSERT INTO things VALUES (1, 'x')"))

    def unusable() -> bool:
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            return store.checkpoint()

    assert unusable() is False
    assert store.checkpoint() is True


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    """Also in a directory that an operator made for everybody to look into."""
    (tmp_path / "open").mkdir(mode=0o755)
    made, given_to_us = SqliteStore(tmp_path / "new" / "mien.db"), SqliteStore(tmp_path / "open" / "mien.db")
    for store in (made, given_to_us):
        with store.write() as session:
            session.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)"))
        others = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in store.path.parent.iterdir()}

        assert others == {"mien.db": 0, "mien.db-wal": 0, "mien.db-shm": 0}
    assert stat.S_IMODE(made.path.parent.stat().st_mode) == 0o700


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(min_value=datetime(1900, 1, 2), max_value=datetime(2999, 1, 1), timezones=zones))  # noqa: DTZ001 - the strategy adds the zone
def test_instant_is_read_back_in_utc(instant: datetime) -> None:
    column = UtcDateTime()
    back = column.process_result_value(column.process_bind_param(instant, sqlite.dialect()), sqlite.dialect())

    assert back == instant
    assert back is not None
    assert back.tzinfo is UTC


def test_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        UtcDateTime().process_bind_param(datetime(2026, 1, 1), sqlite.dialect())  # noqa: DTZ001 - refused
