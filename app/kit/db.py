"""One SQLite file, opened so that a commit is durable and a deletion leaves no bytes.

* WAL, `synchronous=FULL`: with NORMAL a committed withdrawal can be lost at power failure.
* `secure_delete=ON`: what is deleted is overwritten in the file; what is still in the WAL goes with `checkpoint()`.
* `foreign_keys=ON`: the laws that are foreign keys hold on every connection.
* `recursive_triggers=ON`: a REPLACE is seen by the triggers that keep rows from being changed.
* Writers begin IMMEDIATE, so that a transaction that has read never fails to upgrade; readers cannot write at all.
* A read that lasts is interrupted: while it sees an old state, the log that holds what was deleted cannot be emptied.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, DateTime, Dialect, Engine, Enum, ExceptionContext, Uuid, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from app.kit.steps import step
from app.kit.trouble import Trouble

POOL_SIZE = 8
"""Connections kept open for each of reading and writing."""
SHORTEST_READ_S = 1.0
"""Seconds that a read may last at least, however short the busy time."""
STEPS_BETWEEN_LOOKS = 1000
"""Of SQLite's virtual machine, between two looks at the time: some tens of microseconds."""
RETRY_S = 0.02
"""Seconds between two attempts at what another checkpoint holds up: SQLite does not wait for that by itself."""
_unhurried: ContextVar[bool] = ContextVar("unhurried", default=False)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant. SQLite drops time zones: stored naive in UTC, given back aware, a naive one refused."""

    impl = DateTime
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """Return what a value is read back as."""
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Convert to naive UTC; a naive instant raises ValueError."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "a naive datetime has no meaning here"
            raise ValueError(msg)
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Convert back to aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


def spelled(kind: type[StrEnum], *, length: int = 32) -> Enum:
    """Store an enum by its values, and read it back as the enum: a plain String would read back as str."""
    return Enum(kind, native_enum=False, length=length, values_callable=lambda known: [one.value for one in known])


class Row(DeclarativeBase):
    """The base of every table in the data store."""

    type_annotation_map = {UUID: Uuid(), datetime: UtcDateTime()}  # noqa: RUF012 - SQLAlchemy reads a plain dict


@contextmanager
def unhurried() -> Iterator[None]:
    """Let reads last as long as they need: for work that looks through everything, as before the service is ready."""
    token = _unhurried.set(True)
    try:
        yield
    finally:
        _unhurried.reset(token)


def _limit_reads(engine: Engine, *, longest_s: float, met: Callable[[BaseException | None], None]) -> None:
    """Interrupt the statement that a read transaction runs, or begins, when it is older than *longest_s*."""

    @event.listens_for(engine, "connect")
    def _watch(connection: SqliteConnection, record: ConnectionPoolEntry) -> None:
        limits = record.info["limits"] = {"until": float("inf")}
        connection.set_progress_handler(lambda: int(time.monotonic() > limits["until"]), STEPS_BETWEEN_LOOKS)

    @event.listens_for(engine, "begin")
    def _start(connection: Connection) -> None:
        connection.info["limits"]["until"] = float("inf") if _unhurried.get() else time.monotonic() + longest_s

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


def _open(path: Path, *, begin: str, query_only: bool, busy_s: float) -> Engine:
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
    def _undo(connection: SqliteConnection, _record: object, _state: object) -> None:
        # A COMMIT that fails leaves the transaction open, and SQLAlchemy takes it for ended.
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # The driver guesses at BEGIN; `isolation_level=None` stops that and this says it.
        connection.exec_driver_sql(begin)

    return engine


class Store:
    """One SQLite database and its short transactions."""

    def __init__(self, path: Path, *, busy_s: float = 10.0) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # For its owner only; SQLite gives the files that it puts beside it the same mode.
        path.touch(mode=0o600)
        self.path = path
        self.longest_read_s = max(SHORTEST_READ_S, busy_s / 2)
        """A checkpoint, which waits for the busy time, outwaits every read of ours."""
        self.trouble = Trouble(path.name)
        self._busy_s = busy_s
        self._emptying = threading.Lock()
        self.writer = _open(path, begin="BEGIN IMMEDIATE", query_only=False, busy_s=busy_s)
        self.reader = _open(path, begin="BEGIN", query_only=True, busy_s=busy_s)
        _limit_reads(self.reader, longest_s=self.longest_read_s, met=self.trouble.met)
        for engine in (self.writer, self.reader):
            event.listen(engine, "handle_error", self._met)

    def _met(self, context: ExceptionContext) -> None:
        self.trouble.met(context.original_exception)

    def read(self) -> AbstractContextManager[Session]:
        """Open one read transaction: a consistent view. Older than `longest_read_s`, it is interrupted."""
        return _transaction(self.reader)

    def write(self) -> AbstractContextManager[Session]:
        """Open one write transaction: committed when the block ends, rolled back when it raises."""
        return self._writing()

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with _transaction(self.writer) as session:
            raw: SqliteConnection = session.connection().connection.dbapi_connection  # type: ignore[assignment]
            changes = raw.total_changes
            yield session
            session.flush()
            written = raw.total_changes > changes
            step(f"{self.path.name} written")
            session.commit()
        if written:
            self.trouble.over()
        step(f"{self.path.name} committed")

    def checkpoint(self) -> bool:
        """Empty the write-ahead log, and with it the bytes of what was deleted.

        SQLite waits for readers and for a writer by itself. While another empties the same log it gives up at once, so
        that ours stand in line, and one of another program is asked again.

        Returns:
            False if somebody held it up for longer than the busy time, or the disk did: the bytes are then still there.
        """
        until = time.monotonic() + self._busy_s
        emptied = False
        if self._emptying.acquire(timeout=self._busy_s):
            try:
                while not (emptied := self._emptied(until)) and time.monotonic() < until:
                    time.sleep(RETRY_S)
            except sqlite3.Error as error:
                self.trouble.met(error)
            finally:
                self._emptying.release()
        step(f"log of {self.path.name} emptied")
        return emptied

    def _emptied(self, until: float) -> bool:
        """Try once, and wait for others until then at most; what is not somebody else's doing raises."""
        wait_ms = max(1, int((until - time.monotonic()) * 1000))
        try:
            answer = self._pragma("PRAGMA wal_checkpoint(TRUNCATE)", busy_ms=wait_ms)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                return False
            raise
        return bool(answer[0] == 0)

    def bytes(self) -> int:
        """Return the size of the file."""
        return self.path.stat().st_size

    def rebuild(self, *, in_memory: bool) -> bool:
        """Write the whole database anew: only so do the copies go that SQLite left when it moved rows between pages.

        Takes time in proportion to the size, and meanwhile nobody else writes. What is deleted is then out of the
        file; `checkpoint` must follow, to take it out of the write-ahead log.

        Args:
            in_memory: keep the new one in memory until it is written; else in a file in `SQLITE_TMPDIR`.

        Returns:
            False if another writer held it up for longer than the busy time, or the disk did.
        """
        try:
            self._pragma(f"PRAGMA temp_store={'MEMORY' if in_memory else 'FILE'}", "VACUUM")
        except sqlite3.Error as error:
            self.trouble.met(error)
            return False
        step(f"{self.path.name} rebuilt")
        return True

    def _pragma(self, *statements: str, busy_ms: int | None = None) -> tuple[Any, ...]:
        """Run what must not be in a transaction, on one connection; return the first row of the last answer."""
        # The pool's connection itself: SQLAlchemy would begin a transaction.
        with closing(self.writer.raw_connection()) as connection:
            cursor = connection.cursor()
            try:
                if busy_ms is not None:
                    cursor.execute(f"PRAGMA busy_timeout={busy_ms}")
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchone() or ()
            finally:
                cursor.execute(f"PRAGMA busy_timeout={int(self._busy_s * 1000)}")

    def open_transactions(self) -> int:
        """Count the connections in use now."""
        return sum(engine.pool.checkedout() for engine in (self.reader, self.writer))  # type: ignore[attr-defined]

    def is_empty(self) -> bool:
        """Say whether the database has no table at all."""
        with self.read() as session:
            return not session.scalar(text("SELECT count(*) FROM sqlite_master"))

    def close(self) -> None:
        """Close every connection."""
        self.reader.dispose()
        self.writer.dispose()


@contextmanager
def _transaction(engine: Engine) -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as session:
        # Begin at once: a writer takes its lock before it looks.
        session.connection()
        yield session
