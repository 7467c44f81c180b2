"""The store that every room uses: one database and its short transactions, on SQLite or on PostgreSQL."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Engine, bindparam, delete, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

_LOCK = select(func.pg_advisory_xact_lock(bindparam("key", type_=BigInteger())))
_unlimited: ContextVar[bool] = ContextVar("unlimited", default=False)


class Held(Protocol):
    """A lock that was asked for: true while it is held."""

    def __bool__(self) -> bool:
        """Return whether the lock is held now."""


@dataclass(frozen=True, slots=True)
class Server:
    """The settings of a PostgreSQL server that decide which bytes stay, and which commits can be lost."""

    system_identifier: int
    """The cluster; its databases share one write-ahead log."""
    archive_mode: str
    durability: Mapping[str, str]
    """The settings for durable commits, by name."""


class Store(Protocol):
    """One database. A commit is durable, writers come one after the other, and readers cannot write."""

    name: str
    """`mien` or `register`: the name of its directory in `migrations/`."""
    place: str
    """The place of the database, for a message to the operator."""
    removes_bytes: bool
    """Whether `checkpoint` and `rebuild` remove deleted bytes. A server keeps them for a while: there only a turn of
    the key-encryption key makes them useless."""
    reader: Engine
    """The connections that read."""
    writer: Engine
    """The connections that write."""

    def read(self) -> AbstractContextManager[Session]:
        """Open one read transaction: a consistent view. After a time limit it is interrupted."""

    def write(
        self, *, wait_s: float | None = None, migrating: bool = False, shared: bool = False
    ) -> AbstractContextManager[Session]:
        """Open one write transaction: committed when the block ends, rolled back when it raises.

        Args:
            wait_s: seconds to wait for another writer. Default: the busy time of the store.
            migrating: whether the transaction brings the schema to that of this version.
            shared: whether other shared writers may work at the same time, where the database has several. Each then
                takes `lock_until_commit` for the rows that it reads and changes.

        Raises:
            ChangedSchemaError: the database has another schema.
            DBAPIError: the database fails, or has room for endings only and the caller is none.
        """

    def lock(self, name: str) -> AbstractContextManager[Held]:
        """Hold the lock *name* of this store in the block, unless another has it.

        The block gets an object that is true while it has the lock; it never waits. The lock ends with the process. On
        a server it ends with its connection too: ask before each act that only one process may do.
        """

    def ending(self) -> AbstractContextManager[None]:
        """Allow writes in the block that end something, even while there is room for endings only."""

    def make_room(self, error: BaseException) -> bool:
        """Free the room that is kept for endings, if *error* tells of a full disk. Returns whether there was any."""

    def checkpoint(self) -> bool:
        """Remove deleted bytes from the logs of the database. Returns False if they are still there."""

    def rebuild(self) -> bool:
        """Remove deleted bytes from the database itself; `checkpoint` must follow. Returns False if it failed."""

    def bytes(self) -> int:
        """Return the size of the database."""

    def check_schema(self) -> None:
        """Refuse a schema that is not the expected one.

        Raises:
            ChangedSchemaError: it is another.
        """

    def check_place(self) -> None:
        """Refuse a database that could lose commits.

        Raises:
            OperatorError: it could.
        """

    def server(self) -> Server | None:
        """Return the server of the database; None if it is a file."""

    def find_exposure(self) -> list[str]:
        """Return each way by which another user could read or change the database, with the next step."""

    def find_write_fault(self) -> str | None:
        """Try to write. Returns the reason for the operator if that fails."""

    def log_faults(self) -> None:
        """Log faults from now on. A command prints its own error."""

    def open_transactions(self) -> int:
        """Count the connections in use now."""

    def is_empty(self) -> bool:
        """Return whether the database has no table."""

    def close(self) -> None:
        """Close every connection."""


def lock_until_commit(session: Session, name: str) -> None:
    """Wait until no other transaction holds the lock *name*, and hold it until this one ends.

    Before the statement that reads: each statement of a writer sees all that was committed before it began.
    """
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"key": lock_key(name)})


def lock_key(name: str) -> int:
    """Return the number under which PostgreSQL knows the lock *name*."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


@contextmanager
def unlimited_reads() -> Iterator[None]:
    """Lift the time limit of reads, for work on every row such as the start of the service."""
    token = _unlimited.set(True)
    try:
        yield
    finally:
        _unlimited.reset(token)


def are_reads_limited() -> bool:
    """Return whether the reads of the running code have a time limit."""
    return not _unlimited.get()


def delete_matching(store: Store, row_id: InstrumentedAttribute[UUID], condition: ColumnElement[bool]) -> int:
    """Delete the rows that match, and return their number. The write lock is taken only if there is one.

    Args:
        store: the store of the table.
        row_id: the id column of the table.
        condition: selects the rows.
    """
    with store.read() as session:
        if session.scalar(select(row_id).where(condition).limit(1)) is None:
            return 0
    with store.write() as session:
        return len(session.scalars(delete(row_id.class_).where(condition).returning(row_id)).all())
