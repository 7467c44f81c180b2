"""The contract of a store, on SQLite and on a real PostgreSQL: the same tests, the same results."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from app.db.errors import ChangedSchemaError
from app.db.migrate import pinned_schema, upgrade
from app.db.postgres.store import COMPARED_S, PostgresStore
from app.db.sqlite.store import SqliteStore
from app.db.store import Store, unlimited_reads
from app.vault.tables import EndedKind, KeySlot, Tombstone
from tests.architecture.source import ROOT
from tests.support.postgres_clusters import Clusters
from tests.support.waiting import wait_until

pytestmark = pytest.mark.service
BUSY_S = 2.0
"""Seconds that a writer waits; half of it limits a read."""
SHORT_S = 0.05
HOLD_LOCK = """
import sys, time
from tests.db.test_store_contract import open_store
with open_store(sys.argv[1]).lock("job") as held:
    print(bool(held), flush=True)
    time.sleep(600)
"""


def open_store(place: str) -> Store:
    """Open the register at a path or at an address of PostgreSQL."""
    if place.startswith("postgresql:"):
        pinned = pinned_schema("register", "postgresql")
        return PostgresStore(make_url(place), name="register", busy_s=BUSY_S, schema=pinned)
    return SqliteStore(Path(place), busy_s=BUSY_S, schema=pinned_schema("register"))


@dataclass(frozen=True)
class Case:
    """A migrated store, and its place, where other processes open it too."""

    store: Store
    place: str

    @contextmanager
    def another(self) -> Iterator[Store]:
        """Open the same database once more, as another process does."""
        other = open_store(self.place)
        yield other
        other.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    """Both kinds of stores; the server starts only for the second."""
    if request.param == "postgresql":
        place = request.getfixturevalue("databases").register_url
    else:
        place = str(tmp_path / "register.db")
    store = open_store(place)
    assert store.is_empty()
    upgrade(store)
    assert not store.is_empty()
    yield Case(store, place)
    store.close()


def tombstone(number: int) -> Tombstone:
    return Tombstone(digest=number.to_bytes(32), kind=EndedKind.GRANT, ended_as="withdrawn", ended_on=date(2026, 1, 1))


def count(session: Session) -> int:
    return len(session.scalars(select(Tombstone.digest)).all())


def numbers(store: Store) -> int:
    with store.read() as session:
        return count(session)


def test_a_write_that_raises_leaves_nothing(case: Case) -> None:
    def write_and_raise() -> None:
        with case.store.write() as session:
            session.add(tombstone(1))
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        write_and_raise()

    assert numbers(case.store) == 0
    with case.store.write() as session:
        session.add(tombstone(2))
    assert numbers(case.store) == 1


def test_a_write_is_seen_everywhere_once_it_returns_and_nowhere_before(case: Case) -> None:
    with case.another() as other:
        with case.store.write() as session:
            session.add(tombstone(1))
            session.flush()
            assert numbers(other) == 0
        assert numbers(other) == 1


def test_one_writer_at_a_time_and_the_next_waits(case: Case) -> None:
    with case.another() as other:
        with case.store.write(), pytest.raises(OperationalError), other.write(wait_s=SHORT_S):
            pytest.fail("two writers at once")
        with other.write(wait_s=SHORT_S) as session:
            session.add(tombstone(1))


def test_no_change_is_lost_between_writers_that_read_first(case: Case) -> None:
    with case.store.write() as session:
        session.add(KeySlot(owner=bytes(32), generation=0, kek_id="k", wrapped=b"w"))

    def add_one() -> None:
        with case.store.write(wait_s=60) as session:
            found = session.scalars(select(KeySlot.generation)).one()
            session.execute(update(KeySlot).values(generation=found + 1))

    with ThreadPoolExecutor(8) as threads:
        for work in [threads.submit(add_one) for _ in range(60)]:
            work.result()

    with case.store.read() as session:
        assert session.scalars(select(KeySlot.generation)).one() == 60


def test_a_reader_sees_one_moment(case: Case) -> None:
    with case.another() as other, other.read() as session:
        assert count(session) == 0
        with case.store.write() as writing:
            writing.add(tombstone(1))
        assert count(session) == 0
    assert numbers(case.store) == 1


def test_a_reader_cannot_write(case: Case) -> None:
    with case.store.read() as session, pytest.raises(DBAPIError):
        session.execute(
            insert(Tombstone).values(digest=bytes(32), kind="grant", ended_as="over", ended_on=date(2026, 1, 1))
        )

    assert numbers(case.store) == 0


def test_a_long_read_ends_unless_it_may_be_long(case: Case) -> None:
    def read_for_ever() -> None:
        with case.store.read() as session:
            while True:
                session.execute(text("SELECT 1"))

    with pytest.raises(OperationalError):
        read_for_ever()

    over = threading.Event()
    with unlimited_reads(), case.store.read() as session:
        assert count(session) == 0
        over.wait(1.1 * max(1.0, BUSY_S / 2))
        assert count(session) == 0


def test_a_lock_has_one_holder_and_each_name_is_a_lock_of_its_own(case: Case) -> None:
    with case.another() as other:
        with case.store.lock("job") as mine, other.lock("job") as theirs, other.lock("another") as also:
            assert (bool(mine), bool(theirs), bool(also)) == (True, False, True)
        with other.lock("job") as later:
            assert later


def test_a_lock_ends_when_its_process_is_killed(case: Case) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, case.place], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with case.store.lock("job") as mine:
            assert not mine
        holder.send_signal(signal.SIGKILL)

    def is_free() -> bool:
        with case.store.lock("job") as mine:
            return bool(mine)

    wait_until(is_free)


def plant(case: Case, *statements: str) -> None:
    with case.store.write(migrating=True) as session:
        for statement in statements:
            session.execute(text(statement))


CHANGES: dict[str, Callable[[Case], None]] = {
    "table": lambda case: plant(case, "CREATE TABLE planted (id INTEGER)"),
    "column": lambda case: plant(case, "ALTER TABLE tombstones ADD COLUMN planted INTEGER"),
    "index": lambda case: plant(case, "DROP INDEX keys_by_owner"),
    "view": lambda case: plant(case, "CREATE VIEW planted AS SELECT 1 AS one"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_written_to_a_changed_schema(case: Case, change: str) -> None:
    with case.store.write() as session:
        session.add(tombstone(1))
    CHANGES[change](case)

    with pytest.raises(ChangedSchemaError):
        case.store.check_schema()
    # PostgreSQL compares at most once in this time.
    threading.Event().wait(COMPARED_S)
    with pytest.raises(ChangedSchemaError), case.store.write() as session:
        session.add(tombstone(2))
    assert numbers(case.store) == 1


def test_a_commit_waits_for_the_disk_also_where_the_database_is_set_not_to(case: Case, clusters: Clusters) -> None:
    query = "PRAGMA synchronous"
    if isinstance(case.store, PostgresStore):
        database = make_url(case.place).database
        clusters.register.sql(f"ALTER DATABASE {database} SET synchronous_commit = off")
        query = "SHOW synchronous_commit"
    with case.another() as other, other.write() as session:
        # SQLite's FULL is 2.
        assert session.scalar(text(query)) in {2, "on"}


def test_a_store_that_takes_writes_has_no_fault_and_is_where_it_was(case: Case) -> None:
    case.store.check_place()
    assert case.store.find_write_fault() is None
    assert case.store.bytes() > 0
    assert case.store.open_transactions() == 0


def test_a_busy_store_has_no_fault(case: Case) -> None:
    with case.another() as other, other.write():
        assert case.store.find_write_fault() is None
