"""A prepared statement gives what a session gives: types, transactions, errors."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from sqlite3 import OperationalError as SqliteOperationalError
from uuid import UUID, uuid4

import pytest
from sqlalchemy import LargeBinary, bindparam, func, insert, literal_column, select, table
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.db.sqlite.prepared import Prepared, within
from app.db.sqlite.store import Store
from app.db.types import UtcDateTime, spelled

pytestmark = pytest.mark.service


class Mood(StrEnum):
    GOOD = "good"


class Base(DeclarativeBase):
    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012 - SQLAlchemy reads a plain dict


class Thing(Base):
    __tablename__ = "things"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    mood: Mapped[Mood | None] = mapped_column(spelled(Mood))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    well: Mapped[bool]


ADD = Prepared(
    insert(Thing)
    .values({name: bindparam(name) for name in ("id", "at", "mood", "content", "well")})
    .returning(Thing.id)
)
BY_ID = Prepared(select(*Thing.__table__.columns).where(Thing.id == bindparam("thing_id")))
OF_MOOD = Prepared(select(func.count()).where(Thing.mood == Mood.GOOD))
COUNT = Prepared(select(func.count()).select_from(Thing))


def thing(mood: Mood | None = Mood.GOOD) -> dict[str, object]:
    return {"id": uuid4(), "at": datetime.now(UTC), "mood": mood, "content": b"\0x", "well": True}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "mien.db", busy_s=0.5)
    Base.metadata.create_all(opened.writer)
    yield opened
    opened.close()


@pytest.mark.parametrize("mood", [Mood.GOOD, None])
def test_values_come_back_as_they_went_in(store: Store, mood: Mood | None) -> None:
    one = thing(mood)
    with store.writing() as writing:
        returned = writing.first(ADD, **one)
    with store.reading() as reading:
        prepared, good = reading.first(BY_ID, thing_id=one["id"]), reading.first(OF_MOOD)
        nothing = reading.first(BY_ID, thing_id=uuid4())
    with store.read() as session:
        row = session.execute(select(*Thing.__table__.columns)).one()

    assert returned == (one["id"],)
    assert prepared == tuple(one.values()) == tuple(row)
    assert prepared is not None
    assert [type(value) for value in prepared] == [type(value) for value in row]
    assert (good, nothing) == ((1 if mood else 0,), None)


def test_what_raises_leaves_nothing_and_no_transaction(store: Store) -> None:
    with suppress(ZeroDivisionError), store.writing() as writing:
        writing.all(ADD, **thing())
        raise ZeroDivisionError
    with store.reading() as reading:
        left = reading.all(COUNT)
        open_then = store.open_transactions()

    assert (left, open_then, store.open_transactions()) == ([(0,)], 1, 0)


def test_database_that_refuses_is_told_as_a_session_tells_it(store: Store) -> None:
    one = thing()
    with store.writing() as writing:
        writing.all(ADD, **one)
    with pytest.raises(IntegrityError, match="UNIQUE"), store.writing() as writing:
        writing.all(ADD, **one)
    with pytest.raises(OperationalError, match="readonly"), store.reading() as reading:
        reading.all(ADD, **thing())


def test_value_that_was_forgotten_is_not_taken_for_nothing(store: Store) -> None:
    with pytest.raises(KeyError, match="thing_id"), store.reading() as reading:
        reading.all(BY_ID)


def test_session_and_prepared_statements_share_a_transaction(store: Store) -> None:
    with suppress(ZeroDivisionError), store.write() as session:
        within(session).all(ADD, **thing())
        seen = session.scalar(select(func.count()).select_from(Thing))
        raise ZeroDivisionError
    with store.read() as session:
        left = within(session).all(COUNT)

    assert (seen, left) == (1, [(0,)])


def test_reading_sees_one_moment(store: Store) -> None:
    with store.reading() as reading:
        before = reading.all(COUNT)
        with store.writing() as writing:
            writing.all(ADD, **thing())
        during = reading.all(COUNT)

    assert before == during == [(0,)]


def test_one_writer_is_less_patient_and_leaves_the_others_as_they_were(store: Store) -> None:
    def waited(patience_s: float | None) -> float:
        began = time.monotonic()
        with pytest.raises(OperationalError, match="locked"), store.writing(patience_s=patience_s):
            pass
        return time.monotonic() - began

    with store.write():
        short, usual = waited(0.05), waited(None)

    assert short < 0.4 < usual


def test_who_chose_to_wait_less_found_no_fault_of_the_store(store: Store) -> None:
    store.trouble.telling = True
    with store.write():
        with pytest.raises(OperationalError), store.writing(patience_s=0.05):
            pass
        impatient = dict(store.trouble._lasting)
        with pytest.raises(OperationalError), store.writing():
            pass

    assert impatient == {}
    assert list(store.trouble._lasting) == ["SQLITE_BUSY"]


def test_in_a_session_a_failing_statement_raises_as_the_session_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers 503 for a failing store, or goes on without a receipt, catches one kind of error."""
    store = Store(tmp_path / "kit.db")
    told: list[BaseException | None] = []
    monkeypatch.setattr(store.trouble, "met", told.append)
    nowhere = Prepared(select(literal_column("1")).select_from(table("nowhere")))
    with store.read() as session, pytest.raises(OperationalError, match="no such table"):
        within(session).first(nowhere)
    store.close()

    assert [type(error) for error in told] == [SqliteOperationalError]
