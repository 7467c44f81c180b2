"""One PostgreSQL database and its short transactions."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.db.fault_log import FaultLog
from app.db.pooled_store import WAIT, PooledStore, max_read_s
from app.db.postgres.connections import SHARED, begin_reads, begin_writes, connect
from app.db.postgres.schema import read_schema
from app.db.schema import Schema, refuse_changed
from app.db.store import Held, Server, lock_key
from app.db.write_probe import PROBE_S, WriteProbe
from app.kit.crash_points import step
from app.kit.errors import OperatorError

COMPARED_S = 1.0
"""Seconds for which a compared schema counts as unchanged: PostgreSQL keeps no number of its state."""
VERSIONS = (16, 18)
"""The oldest and the newest version of PostgreSQL that is accepted; the tests run on the newest."""

_TRY_LOCK = text("SELECT pg_try_advisory_lock(CAST(:key AS bigint))")

_DURABILITY = ("fsync", "full_page_writes", "synchronous_standby_names")
_SERVER = """
SELECT system_identifier, current_setting('archive_mode') AS archive_mode, current_setting('fsync'),
       current_setting('full_page_writes'), current_setting('synchronous_standby_names')
FROM pg_control_system()
"""


class UnusableServerError(OperatorError):
    """A server that could lose commits, or of another version; the text tells the operator how to continue."""


class _SessionLock:
    """A lock of a session: true while the server keeps that. Thread-safe."""

    def __init__(self, connection: Connection, *, acquired: bool | None) -> None:
        self._connection, self._acquired = connection, bool(acquired)
        self._asking = threading.Lock()

    def __bool__(self) -> bool:
        with self._asking:
            try:
                return self._acquired and bool(self._connection.scalar(text("SELECT true")))
            except DBAPIError:
                self._acquired = False
                return False


class PostgresStore(PooledStore):
    """One PostgreSQL database and its short transactions.

    Args:
        url: its address.
        name: `mien` or `register`.
        busy_s: seconds that a writer waits for another.
        schema: the schema without which nothing is written. None: any.
    """

    removes_bytes = False

    def __init__(self, url: URL, *, name: str, busy_s: float = 10.0, schema: Schema | None = None) -> None:
        super().__init__(
            name=name,
            place=f"database {url.database} of PostgreSQL at {url.host or url.query.get('host') or 'localhost'}",
            reader=connect(url, wait_s=busy_s),
            writer=connect(url, wait_s=busy_s),
            fault_log=FaultLog(name),
        )
        self._schema = schema
        self._comparing, self._compared_at = threading.Lock(), float("-inf")
        self._probe = WriteProbe(self.place, self._try_to_write)
        begin_writes(self.writer, wait_s=busy_s)
        begin_reads(self.reader, max_s=max_read_s(busy_s))
        self._locks = connect(url, wait_s=busy_s)

    @contextmanager
    def write(self, *, wait_s: float | None = None, migrating: bool = False, shared: bool = False) -> Iterator[Session]:
        """Open one write transaction: committed when the block ends, rolled back when it raises."""
        if not migrating:
            self._refuse_changed_schema()
        options: dict[str, object] = {SHARED: shared} if wait_s is None else {SHARED: shared, WAIT: wait_s}
        with Session(self.writer, expire_on_commit=False) as session:
            # Begin at once: a writer takes its lock before it reads.
            session.connection(execution_options=options)
            yield session
            session.flush()
            step(f"{self.name} written")
            session.commit()
        self.fault_log.report_success()
        step(f"{self.name} committed")

    @contextmanager
    def lock(self, name: str) -> Iterator[Held]:
        """Hold an advisory lock on a connection of its own, which the server ends with the process."""
        with self._locks.connect() as connection:
            try:
                # The session idles for as long as the lock is held, in no transaction.
                yield _SessionLock(connection, acquired=connection.scalar(_TRY_LOCK, {"key": lock_key(name)}))
            finally:
                # The lock ends with its session, also where the server is away.
                connection.invalidate()

    def check_schema(self) -> None:
        """Refuse a schema that is not the expected one."""
        if self._schema is not None:
            with self.read() as session:
                refuse_changed(read_schema(session.connection()), self._schema, database=self.name)

    def _refuse_changed_schema(self) -> None:
        # Before the lock of all writers, which would wait for this.
        with self._comparing:
            if time.monotonic() > self._compared_at + COMPARED_S:
                self.check_schema()
                self._compared_at = time.monotonic()

    def check_place(self) -> None:
        """Refuse a standby, and a version that was not tested."""
        with self.read() as session:
            standby, version = session.execute(
                text("SELECT pg_is_in_recovery(), current_setting('server_version_num')::int / 10000")
            ).one()
        if standby:
            raise UnusableServerError(f"{self.place} is a standby; name the primary")
        if not VERSIONS[0] <= version <= VERSIONS[1]:
            msg = f"{self.place} has version {version}; Mien runs on PostgreSQL {VERSIONS[0]} to {VERSIONS[1]}"
            raise UnusableServerError(msg)

    def find_write_fault(self) -> str | None:
        """Write without changing anything. Returns the reason for the operator if that fails."""
        return self._probe.find_fault()

    def _try_to_write(self) -> None:
        with self.write(wait_s=PROBE_S) as session:
            # A record in the write-ahead log that changes nothing; its commit waits for the disk like any other.
            session.execute(text("SELECT pg_logical_emit_message(true, 'mien', '')"))

    def ending(self) -> AbstractContextManager[None]:
        """Allow every write: the disk is the server's, and no room on it is kept for endings."""
        return nullcontext()

    def make_room(self, error: BaseException) -> bool:  # noqa: ARG002 - the signature is the protocol's
        """Return False: there is none to free."""
        return False

    def checkpoint(self) -> bool:
        """Return False: the write-ahead log keeps deleted bytes for as long as the server wants."""
        return False

    def rebuild(self) -> bool:
        """Return False: old row versions stay until the server's vacuum."""
        return False

    def bytes(self) -> int:
        """Return the size of the database."""
        with self.read() as session:
            return int(session.execute(text("SELECT pg_database_size(current_database())")).scalar_one())

    def server(self) -> Server:
        """Return what the server says about itself."""
        with self.read() as session:
            row = session.execute(text(_SERVER)).one()
        durability = dict(zip(_DURABILITY, row[2:], strict=True))
        return Server(row.system_identifier, row.archive_mode, durability)

    def find_exposure(self) -> list[str]:
        """Return nothing: the server decides by its roles, and no file is here."""
        return []

    def is_empty(self) -> bool:
        """Return whether the database has no table."""
        with self.read() as session:
            query = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            return not session.scalar(text(query))

    def close(self) -> None:
        """Close every connection."""
        super().close()
        self._locks.dispose()
