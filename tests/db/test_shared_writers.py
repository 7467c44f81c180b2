"""Shared writers on PostgreSQL run beside each other, never beside another writer, and number the rows of a subject."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, make_url, select
from sqlalchemy.exc import IntegrityError

from app.db.migrate import pinned_schema, upgrade
from app.db.postgres.store import PostgresStore
from app.db.store import lock_until_commit
from app.subjects.tables import Subject
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.transparency.tables import EntryRow
from app.vault.seal import KEY_BYTES, Key
from tests.support.postgres_clusters import Databases
from tests.support.waiting import wait_until

pytestmark = pytest.mark.service
WRITERS = 6
ENTRIES = 10
"""Of each writer."""


@pytest.fixture
def store(databases: Databases) -> Iterator[PostgresStore]:
    """A data store with every table."""
    made = PostgresStore(
        make_url(databases.data_url), name="mien", busy_s=30.0, schema=pinned_schema("mien", "postgresql")
    )
    upgrade(made)
    yield made
    made.close()


def test_two_shared_writers_work_at_the_same_time(store: PostgresStore) -> None:
    both = threading.Barrier(2)

    def write() -> None:
        with store.write(shared=True):
            both.wait(30)

    with ThreadPoolExecutor() as threads:
        for work in [threads.submit(write) for _ in range(2)]:
            work.result()


@pytest.mark.parametrize("first_is_shared", [True, False])
def test_another_writer_waits_for_a_shared_one_and_the_reverse(store: PostgresStore, *, first_is_shared: bool) -> None:
    entered = threading.Event()

    def write() -> None:
        with store.write(shared=not first_is_shared):
            entered.set()

    with ThreadPoolExecutor() as threads:
        with store.write(shared=first_is_shared):
            second = threads.submit(write)
            wait_until(lambda: waiting(store) == 1)
            assert not entered.is_set()
        second.result()


def waiting(store: PostgresStore) -> int:
    with store.read() as session:
        rows = session.connection().exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return int(rows.scalar_one())


def append_in_parallel(store: PostgresStore, subject_id: UUID, *, locked: bool) -> list[int]:
    """Append entries of one subject from several threads; return their positions."""
    key, start = Key(bytes(KEY_BYTES)), threading.Barrier(WRITERS)

    def append() -> None:
        start.wait(30)
        for _ in range(ENTRIES):
            with store.write(shared=True) as session:
                if locked:
                    lock_until_commit(session, f"subject:{subject_id}")
                entries.append(
                    session, key, subject_id=subject_id, entry_id=uuid4(), act=LoggedAct.COMPARISON, decision="match"
                )

    with ThreadPoolExecutor(WRITERS) as threads:
        for work in [threads.submit(append) for _ in range(WRITERS)]:
            work.result()
    with store.read() as session:
        return sorted(session.scalars(select(EntryRow.position).where(EntryRow.subject_id == subject_id)))


def new_subject(store: PostgresStore) -> UUID:
    with store.write() as session:
        return session.execute(
            insert(Subject).values(id=uuid4(), registered_on="2026-11-30").returning(Subject.id)
        ).scalar_one()


def test_rows_of_one_subject_are_numbered_without_a_gap(store: PostgresStore) -> None:
    positions = append_in_parallel(store, new_subject(store), locked=True)

    assert positions == list(range(1, WRITERS * ENTRIES + 1))


def test_without_the_lock_two_rows_want_one_number(store: PostgresStore) -> None:
    with pytest.raises(IntegrityError):
        append_in_parallel(store, new_subject(store), locked=False)
