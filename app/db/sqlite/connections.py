"""One SQLite file, opened so that a commit is durable and a deletion leaves no bytes.

* WAL, `synchronous=FULL`: with NORMAL a committed withdrawal can be lost at power failure.
* `secure_delete=ON`: what is deleted is overwritten in the file; what is still in the WAL goes with `checkpoint()`.
* `foreign_keys=ON`: the laws that are foreign keys hold on every connection.
* `recursive_triggers=ON`: a REPLACE is seen by the triggers that keep rows from being changed.
* Writers begin IMMEDIATE, so that a transaction that has read never fails to upgrade; readers cannot write at all.
* A read that lasts is interrupted: while it sees an old state, the log that holds what was deleted cannot be emptied.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from sqlite3 import Connection as SqliteConnection

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

POOL_SIZE = 8
"""Connections kept open for each of reading and writing."""
STEPS_BETWEEN_LOOKS = 1000
"""Of SQLite's virtual machine, between two looks at the time: some tens of microseconds."""
PATIENCE_S = "patience_s"
"""Execution option of a connection: seconds that its transaction waits for another writer."""
_unhurried: ContextVar[bool] = ContextVar("unhurried", default=False)


@contextmanager
def unhurried() -> Iterator[None]:
    """Let reads last as long as they need: for work that looks through everything, as before the service is ready."""
    token = _unhurried.set(True)
    try:
        yield
    finally:
        _unhurried.reset(token)


def limit_reads(engine: Engine, *, longest_s: float, met: Callable[[BaseException | None], None]) -> None:
    """Interrupt the statement that a read transaction runs, or begins, when it is older than *longest_s*."""

    @event.listens_for(engine, "connect")
    def _watch(connection: SqliteConnection, record: ConnectionPoolEntry) -> None:
        limits = record.info["limits"] = {"until": float("inf")}
        connection.set_progress_handler(lambda: int(time.monotonic() > limits["until"]), STEPS_BETWEEN_LOOKS)

    @event.listens_for(engine, "begin")
    def _start(connection: Connection) -> None:
        unlimited = _unhurried.get()
        connection.info["limits"]["until"] = float("inf") if unlimited else time.monotonic() + longest_s

    @event.listens_for(engine, "before_cursor_execute")
    def _check(connection: Connection, *_told: object) -> None:
        # A short statement ends before SQLite looks at the time.
        if time.monotonic() > connection.info["limits"]["until"]:
            error = sqlite3.OperationalError("interrupted")
            error.sqlite_errorname, error.sqlite_errorcode = "SQLITE_INTERRUPT", sqlite3.SQLITE_INTERRUPT
            met(error)
            raise OperationalError("", None, error)

    @event.listens_for(engine, "reset")
    def _stop(_connection: SqliteConnection, record: ConnectionPoolEntry, _state: object) -> None:
        record.info["limits"]["until"] = float("inf")


def connect(path: Path, *, begin: str, query_only: bool, busy_s: float) -> Engine:
    """Make the pool of connections of one kind: those that write, or those that only read."""
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": busy_s, "check_same_thread": False, "isolation_level": None},
        pool_size=POOL_SIZE,
        max_overflow=64,
        pool_timeout=busy_s,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: SqliteConnection, _record: object) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "secure_delete=ON",
            "foreign_keys=ON",
            "recursive_triggers=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute(f"PRAGMA query_only={int(query_only)}").fetchall()

    @event.listens_for(engine, "reset")
    def _undo(connection: SqliteConnection, record: ConnectionPoolEntry, _state: object) -> None:
        # A COMMIT that fails leaves the transaction open, and SQLAlchemy takes it for ended.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if record.info.pop(PATIENCE_S, None) is not None:
            connection.execute(f"PRAGMA busy_timeout={int(1000 * busy_s)}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        patience_s = connection.get_execution_options().get(PATIENCE_S)
        if patience_s is not None:
            connection.info[PATIENCE_S] = patience_s
            connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * patience_s)}")
        # The driver guesses at BEGIN; `isolation_level=None` stops that and this says it.
        connection.exec_driver_sql(begin)

    return engine
