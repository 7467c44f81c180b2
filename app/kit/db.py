"""One SQLite file, opened so that a commit is durable and a deletion leaves no bytes.

* WAL, `synchronous=FULL`: with NORMAL a committed withdrawal can be lost at power failure.
* `secure_delete=ON`: what is deleted is overwritten in the file; what is still in the WAL goes with `checkpoint()`.
* `foreign_keys=ON`: the laws that are foreign keys hold on every connection.
* `recursive_triggers=ON`: a REPLACE is seen by the triggers that keep rows from being changed.
* Writers begin IMMEDIATE, so that a transaction that has read never fails to upgrade; readers cannot write at all.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from sqlite3 import Error as SqliteError
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, DateTime, Dialect, Engine, Enum, Uuid, create_engine, event, text
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.types import TypeDecorator

from app.kit import prepared
from app.kit.prepared import Statements
from app.kit.steps import step

POOL_SIZE = 8
"""Connections kept open for each of reading and writing."""


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
        self.writer = _open(path, begin="BEGIN IMMEDIATE", query_only=False, busy_s=busy_s)
        self.reader = _open(path, begin="BEGIN", query_only=True, busy_s=busy_s)
        self._busy_s = busy_s

    def read(self) -> AbstractContextManager[Session]:
        """Open one read transaction: a consistent view, kept short."""
        return _transaction(self.reader)

    def write(self) -> AbstractContextManager[Session]:
        """Open one write transaction: committed when the block ends, rolled back when it raises."""
        return self._writing()

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with _transaction(self.writer) as session:
            yield session
            session.flush()
            step(f"{self.path.name} written")
            session.commit()
        step(f"{self.path.name} committed")

    def reading(self) -> AbstractContextManager[Statements]:
        """Open one read transaction for prepared statements."""
        return prepared.transaction(self.reader, begin="BEGIN", end="ROLLBACK")

    @contextmanager
    def writing(self, *, patience_s: float | None = None) -> Iterator[Statements]:
        """Open one write transaction for prepared statements: committed at the end of the block, unless it raises.

        Args:
            patience_s: how long to wait for another writer, if not for as long as everybody does.
        """
        with prepared.transaction(
            self.writer, begin="BEGIN IMMEDIATE", end="COMMIT", patience_s=patience_s, busy_s=self._busy_s
        ) as statements:
            yield statements
            step(f"{self.path.name} written")
        step(f"{self.path.name} committed")

    def checkpoint(self) -> bool:
        """Empty the write-ahead log, and with it the bytes of what was deleted.

        Returns:
            False if somebody held it up for longer than the busy time, or the disk did: the bytes are then still there.
        """
        answer = self._pragma("PRAGMA wal_checkpoint(TRUNCATE)")
        step(f"log of {self.path.name} emptied")
        return answer is not None and answer[0] == 0

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
        self._pragma(f"PRAGMA temp_store={'MEMORY' if in_memory else 'FILE'}")
        rebuilt = self._pragma("VACUUM") is not None
        step(f"{self.path.name} rebuilt")
        return rebuilt

    def _pragma(self, statement: str) -> tuple[Any, ...] | None:
        """Run what must not be in a transaction; None if it failed."""
        with self.writer.connect() as connection:
            raw = connection.connection.dbapi_connection
            try:
                return raw.execute(statement).fetchone() or ()  # type: ignore[union-attr]
            except SqliteError:
                return None

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
