"""Connections to one SQLite file, with durable commits and deletions that leave no bytes.

* WAL, `synchronous=FULL`: with NORMAL a power failure can lose a committed withdrawal.
* `secure_delete=ON`: deleted bytes are overwritten in the file; `checkpoint()` removes them from the write-ahead log.
* `foreign_keys=ON`: foreign keys hold on every connection.
* `recursive_triggers=ON`: triggers that keep rows from being changed also run for REPLACE.
* `trusted_schema=OFF`: a planted trigger or view cannot call the functions of this process.
* Writers begin IMMEDIATE, so that a transaction that has read never fails to upgrade; readers cannot write at all.
* A long read is interrupted: until it ends, the write-ahead log with deleted bytes cannot be emptied.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection as SqliteConnection

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from app.db.pooled_store import WAIT
from app.db.store import are_reads_limited

POOL_SIZE = 8
"""Connections kept open for each of reading and writing."""
INSTRUCTIONS_BETWEEN_CHECKS = 1000
"""Of SQLite's virtual machine, between two checks of the time: some tens of microseconds."""
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "secure_delete=ON",
    "foreign_keys=ON",
    "recursive_triggers=ON",
    "trusted_schema=OFF",
)


def limit_reads(engine: Engine, *, max_s: float, report: Callable[[BaseException | None], None]) -> None:
    """Interrupt statements of read transactions that are older than *max_s*."""

    @event.listens_for(engine, "connect")
    def _watch(connection: SqliteConnection, record: ConnectionPoolEntry) -> None:
        limits = record.info["limits"] = {"until": float("inf")}
        connection.set_progress_handler(lambda: int(time.monotonic() > limits["until"]), INSTRUCTIONS_BETWEEN_CHECKS)

    @event.listens_for(engine, "begin")
    def _start(connection: Connection) -> None:
        connection.info["limits"]["until"] = time.monotonic() + max_s if are_reads_limited() else float("inf")

    @event.listens_for(engine, "before_cursor_execute")
    def _check(connection: Connection, *_arguments: object) -> None:
        # A short statement ends before the progress handler runs.
        if time.monotonic() > connection.info["limits"]["until"]:
            error = sqlite3.OperationalError("interrupted")
            error.sqlite_errorname, error.sqlite_errorcode = "SQLITE_INTERRUPT", sqlite3.SQLITE_INTERRUPT
            report(error)
            raise OperationalError("", None, error)

    @event.listens_for(engine, "reset")
    def _stop(_connection: SqliteConnection, record: ConnectionPoolEntry, _state: object) -> None:
        record.info["limits"]["until"] = float("inf")


def connect(path: Path, *, begin: str, query_only: bool, busy_s: float) -> Engine:
    """Create the pool of either the reading or the writing connections."""
    engine = create_engine(
        # A URL as text would decode `%20` in the path and end it at a `?`.
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": busy_s, "check_same_thread": False, "isolation_level": None},
        pool_size=POOL_SIZE,
        max_overflow=64,
        pool_timeout=busy_s,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: SqliteConnection, _record: object) -> None:
        for pragma in (*_PRAGMAS, f"query_only={int(query_only)}"):
            connection.execute(f"PRAGMA {pragma}").fetchall()

    @event.listens_for(engine, "reset")
    def _undo(connection: SqliteConnection, record: ConnectionPoolEntry, _state: object) -> None:
        # A COMMIT that fails leaves the transaction open, but SQLAlchemy assumes that it ended.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if record.info.pop(WAIT, None) is not None:
            connection.execute(f"PRAGMA busy_timeout={int(1000 * busy_s)}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        wait_s = connection.get_execution_options().get(WAIT)
        if wait_s is not None:
            connection.info[WAIT] = wait_s
            connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * wait_s)}")
        # With `isolation_level=None` the driver leaves BEGIN to us.
        connection.exec_driver_sql(begin)

    return engine
