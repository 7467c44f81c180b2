"""No read of ours holds up the emptying of the log for long, and the emptying waits as long as it may."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.db.fault_log import FaultLog
from app.db.sqlite.store import SqliteStore
from app.db.store import unlimited_reads

pytestmark = pytest.mark.service

LONG = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < :most")
HOURS = 10**12
BUSY_S = 3.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "data" / "mien.db", busy_s=BUSY_S)
    with opened.write() as session:
        session.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)"))
    yield opened
    opened.close()


def test_long_read_is_interrupted_before_a_checkpoint_gives_up(store: SqliteStore) -> None:
    began = time.monotonic()
    with pytest.raises(OperationalError, match="interrupted"), store.read() as session:
        session.scalar(LONG, {"most": HOURS})
    took = time.monotonic() - began

    assert store.max_read_s == BUSY_S / 2
    assert took >= store.max_read_s
    assert store.open_transactions() == 0


def test_statement_late_in_a_long_read_transaction_is_refused(store: SqliteStore) -> None:
    with store.read() as session:
        time.sleep(store.max_read_s + 0.05)
        with pytest.raises(OperationalError, match="interrupted"):
            session.scalar(text("SELECT 1"))
    with store.read() as session:
        again = session.scalar(text("SELECT 1"))

    assert again == 1, "the next transaction has its own time"


def test_checkpoint_outlasts_a_long_read(store: SqliteStore) -> None:
    reading, failed = threading.Event(), []

    def read_slowly() -> None:
        try:
            with store.read() as session:
                session.execute(text("SELECT * FROM things")).all()
                reading.set()
                session.scalar(LONG, {"most": HOURS})
        except OperationalError as error:
            failed.append(str(error.orig))

    reader = threading.Thread(target=read_slowly)
    reader.start()
    reading.wait()
    with store.write() as session:
        session.execute(text("INSERT INTO things VALUES (1, 'x')"))
    emptied = store.checkpoint()
    reader.join()

    assert emptied
    assert failed == ["interrupted"]


def test_unlimited_reads_are_not_interrupted(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "mien.db", busy_s=0.1)
    with unlimited_reads(), store.read() as session:
        time.sleep(store.max_read_s + 0.05)
        found = session.scalar(text("SELECT 1"))
    store.close()

    assert found == 1


def test_simultaneous_checkpoints_all_succeed(store: SqliteStore) -> None:
    """SQLite refuses the second of two checkpoints at once, which would count as blocked."""
    done: list[bool] = []

    def write_and_empty(number: int) -> None:
        for each in range(10):
            with store.write() as session:
                session.execute(text("INSERT INTO things VALUES (:id, 'x')"), {"id": number * 100 + each})
            done.append(store.checkpoint())

    threads = [threading.Thread(target=write_and_empty, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert done == [True] * 40


def test_checkpoint_waits_for_another_program(store: SqliteStore) -> None:
    """Another program empties the same log without a pause."""
    stop = threading.Event()

    def empty() -> None:
        with closing(sqlite3.connect(store.path, isolation_level=None, timeout=0)) as other:
            while not stop.is_set():
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    thread = threading.Thread(target=empty)
    thread.start()
    done = []
    for number in range(30):
        with store.write() as session:
            session.execute(text("INSERT INTO things VALUES (:id, 'x')"), {"id": number})
        done.append(store.checkpoint())
    stop.set()
    thread.join()

    assert done == [True] * 30


def test_checkpoint_gives_up_after_the_busy_time(store: SqliteStore) -> None:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM things").fetchall()
        with store.write() as session:
            session.execute(text("INSERT INTO things VALUES (1, 'x')"))
        began = time.monotonic()
        emptied = store.checkpoint()
        took = time.monotonic() - began

    assert not emptied
    assert took >= BUSY_S * 0.9


def test_lasting_fault_and_its_end_are_logged_once() -> None:
    def fault(name: str) -> sqlite3.OperationalError:
        error = sqlite3.OperationalError("text that may hold anything")
        error.sqlite_errorname = name
        return error

    fault_log = FaultLog("mien.db")
    fault_log.report_fault(fault("SQLITE_FULL"))
    fault_log.enabled = True
    with structlog.testing.capture_logs() as lines:
        for name in ("SQLITE_FULL", "SQLITE_FULL", "SQLITE_IOERR_FSYNC", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_FULL"):
            fault_log.report_fault(fault(name))
        fault_log.report_success()
        fault_log.report_success()

    assert [(line["event"], line.get("error")) for line in lines] == [
        ("storage fails", "SQLITE_FULL"),
        ("storage fails", "SQLITE_IOERR_FSYNC"),
        ("storage works again", None),
    ]
    assert "anything" not in str(lines)
