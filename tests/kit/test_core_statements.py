"""A Core statement on a session's connection: types, transactions, errors; and writers that wait for less."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import LargeBinary, bindparam, func, insert, literal_column, select, table, text
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app.db.sqlite.store import SqliteStore
from app.db.types import UtcDateTime, value_enum

pytestmark = pytest.mark.service


class Mood(StrEnum):
    GOOD = "good"


class Base(DeclarativeBase):
    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012 - SQLAlchemy reads a plain dict


class Thing(Base):
    __tablename__ = "things"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    mood: Mapped[Mood | None] = mapped_column(value_enum(Mood))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    well: Mapped[bool]


ADD = insert(Thing)
BY_ID = select(*Thing.__table__.columns).where(Thing.id == bindparam("thing_id"))
OF_MOOD = select(func.count()).where(Thing.mood == Mood.GOOD)
COUNT = select(func.count()).select_from(Thing)


def thing(mood: Mood | None = Mood.GOOD) -> dict[str, object]:
    return {"id": uuid4(), "at": datetime.now(UTC), "mood": mood, "content": b"\0x", "well": True}


def add(session: Session, row: dict[str, object]) -> None:
    session.connection().execute(ADD, row)


def count(session: Session) -> int:
    return session.connection().execute(COUNT).scalar_one()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "mien.db", busy_s=0.5)
    Base.metadata.create_all(opened.writer)
    yield opened
    opened.close()


@pytest.mark.parametrize("mood", [Mood.GOOD, None])
def test_values_are_read_back_unchanged(store: SqliteStore, mood: Mood | None) -> None:
    one = thing(mood)
    with store.write() as session:
        add(session, one)
    with store.read() as session:
        connection = session.connection()
        row = connection.execute(BY_ID, {"thing_id": one["id"]}).one()
        good = connection.execute(OF_MOOD).scalar_one()
        nothing = connection.execute(BY_ID, {"thing_id": uuid4()}).first()

    assert tuple(row) == tuple(one.values())
    assert [type(value) for value in row] == [type(value) for value in one.values()]
    assert (good, nothing) == (1 if mood else 0, None)


def test_block_that_raises_leaves_no_row_and_no_transaction(store: SqliteStore) -> None:
    with suppress(ZeroDivisionError), store.write() as session:
        add(session, thing())
        raise ZeroDivisionError
    with store.read() as session:
        left = count(session)
        open_then = store.open_transactions()

    assert (left, open_then, store.open_transactions()) == (0, 1, 0)


def test_refused_statement_raises_the_error_of_sqlalchemy(store: SqliteStore) -> None:
    one = thing()
    with store.write() as session:
        add(session, one)
    with pytest.raises(IntegrityError, match="UNIQUE"), store.write() as session:
        add(session, one)
    with pytest.raises(OperationalError, match="readonly"), store.read() as session:
        add(session, thing())


def test_missing_value_is_an_error(store: SqliteStore) -> None:
    with pytest.raises(StatementError, match="thing_id"), store.read() as session:
        session.connection().execute(BY_ID)


def test_session_and_its_connection_share_a_transaction(store: SqliteStore) -> None:
    with suppress(ZeroDivisionError), store.write() as session:
        add(session, thing())
        seen = session.scalar(COUNT)
        raise ZeroDivisionError
    with store.read() as session:
        left = count(session)

    assert (seen, left) == (1, 0)


def test_commit_that_fails_is_rolled_back(store: SqliteStore) -> None:
    """The same connection is used again: a transaction left open on it would make the next BEGIN fail."""
    with store.write() as session:
        session.execute(text("CREATE TABLE child (of INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"))
        session.execute(text("CREATE TABLE parent (id INTEGER PRIMARY KEY)"))

    def write_orphan() -> None:
        with store.write() as session:
            add(session, thing())
            session.execute(text("INSERT INTO child VALUES (1)"))

    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        write_orphan()
    with store.write() as session:
        left = count(session)
        add(session, thing())

    assert (left, store.open_transactions()) == (0, 0)


def test_short_wait_of_one_writer_does_not_change_others(store: SqliteStore) -> None:
    def waited(wait_s: float | None) -> float:
        began = time.monotonic()
        with pytest.raises(OperationalError, match="locked"), store.write(wait_s=wait_s):
            pass
        return time.monotonic() - began

    with store.write():
        short, usual = waited(0.05), waited(None)

    assert short < 0.4 < usual


def test_writer_with_a_short_wait_commits(store: SqliteStore) -> None:
    with store.write(wait_s=0.05) as session:
        add(session, thing())
        during = session.scalar(text("PRAGMA busy_timeout"))
    with store.write() as session:
        after = session.scalar(text("PRAGMA busy_timeout"))
        found = count(session)

    assert (found, during, after) == (1, 50, 500)


def test_short_wait_that_ends_is_no_storage_fault(store: SqliteStore) -> None:
    store.fault_log.enabled = True
    with store.write():
        with pytest.raises(OperationalError), store.write(wait_s=0.05):
            pass
        impatient = dict(store.fault_log._lasting)
        with pytest.raises(OperationalError), store.write():
            pass

    assert impatient == {}
    assert list(store.fault_log._lasting) == ["SQLITE_BUSY"]


def test_failed_statement_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(tmp_path / "kit.db")
    noted: list[BaseException | None] = []
    monkeypatch.setattr(store.fault_log, "report_fault", noted.append)
    with store.read() as session, pytest.raises(OperationalError, match="no such table"):
        session.connection().execute(select(literal_column("1")).select_from(table("nowhere")))
    store.close()

    assert [type(error) for error in noted] == [sqlite3.OperationalError]
