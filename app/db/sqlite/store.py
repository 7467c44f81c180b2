"""One SQLite database and its short transactions."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.db.fault_log import FaultLog
from app.db.pooled_store import WAIT, PooledStore, max_read_s
from app.db.schema import Schema, collect_schema, refuse_changed
from app.db.sqlite.ballast import Ballast, in_ending, is_full
from app.db.sqlite.connections import connect, limit_reads
from app.db.sqlite.files import SIDE_FILES, create_private, refuse_links
from app.db.sqlite.schema import QUERY
from app.db.store import Held, Server
from app.db.write_probe import PROBE_S, WriteProbe
from app.kit.crash_points import step
from app.kit.file_locks import try_lock
from app.kit.files import UnsafeFileError, find_exposure

COMPARED = "compared_schema"
"""Key of a connection's info: the version of the schema that was compared."""
IN_MEMORY_BYTES = 256 * 1024 * 1024
"""A larger database is rebuilt with a temporary file."""
RETRY_S = 0.02
"""Seconds between two attempts while another checkpoint runs: SQLite itself does not wait for that."""

T = TypeVar("T")


class SqliteStore(PooledStore):
    """One SQLite database and its short transactions: the embedded `Store`.

    Args:
        path: its file; created if missing.
        busy_s: seconds that a writer waits for another.
        ballast_bytes: disk space beside it that only endings use.
        schema: the schema without which nothing is written. None: any.
    """

    removes_bytes = True

    def __init__(
        self, path: Path, *, busy_s: float = 10.0, ballast_bytes: int = 0, schema: Schema | None = None
    ) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its side files the same mode.
        with suppress(FileExistsError):
            create_private(path)
        refuse_links(path)
        self._opened = path.stat()
        self.path = path
        self.ballast = Ballast(path.with_suffix(".ballast"), ballast_bytes)
        self.ballast.release_if_low()
        self.max_read_s = max_read_s(busy_s)
        self._busy_s, self._schema = busy_s, schema
        self._checkpointing = threading.Lock()
        self._probe = WriteProbe(path.name, self._try_to_write)
        super().__init__(
            name=path.stem,
            place=str(path),
            reader=connect(path, begin="BEGIN", query_only=True, busy_s=busy_s),
            writer=connect(path, begin="BEGIN IMMEDIATE", query_only=False, busy_s=busy_s),
            fault_log=FaultLog(path.name),
        )
        limit_reads(self.reader, max_s=self.max_read_s, report=self.fault_log.report_fault)

    @contextmanager
    def write(
        self,
        *,
        wait_s: float | None = None,
        migrating: bool = False,
        shared: bool = False,  # noqa: ARG002 - SQLite has one writer
    ) -> Iterator[Session]:
        """Open one write transaction: committed when the block ends, rolled back when it raises.

        Args:
            wait_s: seconds to wait for another writer. Default: the busy time of the store.
            migrating: whether the transaction brings the schema to that of this version.
            shared: without effect.

        Raises:
            ChangedSchemaError: the database has another schema.
            OperationalError: the disk fails, or the ballast is spent and the caller is no ending.
        """
        if not in_ending() and not self.ballast.is_whole():
            raise self._full()
        options = {} if wait_s is None else {WAIT: wait_s}
        with Session(self.writer, expire_on_commit=False) as session:
            # Begin at once: a writer takes its lock before it reads.
            session.connection(execution_options=options)
            raw: SqliteConnection = session.connection().connection.dbapi_connection  # type: ignore[assignment]
            if not migrating:
                self._refuse_changed_schema(session.connection())
            changes = raw.total_changes
            yield session
            session.flush()
            written = raw.total_changes > changes
            step(f"{self.path.name} written")
            session.commit()
        # An ending works on a full disk too, so its success tells nothing about the disk.
        if written and not in_ending():
            self.fault_log.report_success()
        step(f"{self.path.name} committed")

    def check_place(self) -> None:
        """Refuse a file that was removed or replaced since it was opened: commits would reach a file without a name.

        Raises:
            UnsafeFileError: it was.
        """
        if not self.path.exists() or not os.path.samestat(self.path.stat(), self._opened):
            msg = f"{self.path} was removed or replaced while it was in use: stop the service, and restore a backup"
            raise UnsafeFileError(msg)

    def check_schema(self) -> None:
        """Refuse a schema that is not the expected one.

        Raises:
            ChangedSchemaError: it is another.
        """
        with self.read() as session:
            self._compare_schema(session.connection())

    def _compare_schema(self, connection: Connection) -> None:
        if self._schema is not None:
            found = collect_schema(connection.exec_driver_sql(QUERY).all())
            refuse_changed(found, self._schema, database=self.path.name)

    def _refuse_changed_schema(self, connection: Connection) -> None:
        """Refuse a changed schema in a write transaction. Each connection compares once, and after every change."""
        version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
        if connection.info.get(COMPARED) != version:
            self._compare_schema(connection)
            connection.info[COMPARED] = version

    def _full(self) -> OperationalError:
        error = sqlite3.OperationalError("the rest of the disk is kept for endings")
        error.sqlite_errorname, error.sqlite_errorcode = "SQLITE_FULL", sqlite3.SQLITE_FULL
        self.fault_log.report_fault(error)
        return OperationalError("", None, error)

    def find_write_fault(self) -> str | None:
        """Write without changing anything. Returns the reason for the operator if that fails."""
        if not self.ballast.is_whole():
            return f"{self.path.name}: the disk is full, so only endings are stored; make room"
        return self._probe.find_fault()

    def _try_to_write(self) -> None:
        with self.write(wait_s=PROBE_S) as session:
            version = session.scalar(text("PRAGMA user_version"))
            session.execute(text(f"PRAGMA user_version = {version}"))
        # A small write may fit into space that the write-ahead log already has.
        if self.ballast.is_disk_low():
            raise self._full()

    def _with_room(self, work: Callable[[], T]) -> T:
        """Do *work*, which removes deleted bytes; on a full disk release the ballast and try once more."""
        try:
            return work()
        except sqlite3.Error as error:
            if not (is_full(error) and self.ballast.release()):
                raise
        return work()

    def checkpoint(self) -> bool:
        """Empty the write-ahead log, which holds deleted bytes.

        SQLite waits for readers and writers, but fails at once while another checkpoint runs. A lock queues the
        checkpoints of this process; for another process this method tries again.

        Returns:
            False if other programs or the disk prevented it for the busy time: the bytes are still there.
        """
        until = time.monotonic() + self._busy_s
        emptied = False
        if self._checkpointing.acquire(timeout=self._busy_s):
            try:
                while not (emptied := self._try_checkpoint(until)) and time.monotonic() < until:
                    time.sleep(RETRY_S)
            except sqlite3.Error as error:
                self.fault_log.report_fault(error)
            finally:
                self._checkpointing.release()
        step(f"write-ahead log of {self.path.name} emptied")
        return emptied

    def _try_checkpoint(self, until: float) -> bool:
        """Try once, and wait for others until *until* at most."""
        wait_ms = max(1, int((until - time.monotonic()) * 1000))
        try:
            answer = self._with_room(lambda: self._execute("PRAGMA wal_checkpoint(TRUNCATE)", busy_ms=wait_ms))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                return False
            raise
        return bool(answer[0] == 0)

    def bytes(self) -> int:
        """Return the size of the file."""
        return self.path.stat().st_size

    def rebuild(self) -> bool:
        """Rewrite the whole database: only this removes copies that SQLite left when it moved rows between pages.

        Takes time in proportion to the size, and blocks other writers. `checkpoint` must follow, to remove the deleted
        bytes from the write-ahead log too.

        A small database is built in memory, a large one in a file in `SQLITE_TMPDIR`.

        Returns:
            False if another writer prevented it for the busy time, or the disk failed.
        """
        step(f"{self.path.name} to be rebuilt")
        try:
            temporary = f"PRAGMA temp_store={'MEMORY' if self.bytes() <= IN_MEMORY_BYTES else 'FILE'}"
            self._with_room(lambda: self._execute(temporary, "VACUUM"))
        except sqlite3.Error as error:
            self.fault_log.report_fault(error)
            return False
        step(f"{self.path.name} rebuilt")
        return True

    def _execute(self, *statements: str, busy_ms: int | None = None) -> tuple[Any, ...]:
        """Execute statements outside a transaction, on one connection; return the first row of the last answer."""
        # The raw connection: SQLAlchemy would begin a transaction.
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

    def lock(self, name: str) -> AbstractContextManager[Held]:
        """Hold the lock on a file beside the database. Never waits; the kernel ends the lock with the process."""
        return try_lock(self.path.with_name(f"{name}.lock"))

    def ending(self) -> AbstractContextManager[None]:
        """Allow writes in the block while the ballast is spent."""
        return self.ballast.ending()

    def make_room(self, error: BaseException) -> bool:
        """Release the ballast if the disk is full."""
        return is_full(error) and self.ballast.release()

    def server(self) -> Server | None:
        """Return None: the database is a file."""
        return None

    def find_exposure(self) -> list[str]:
        """Return each directory and file that another user could read or change, with the next step."""
        files = [self.path.with_name(self.path.name + suffix) for suffix in ("", *SIDE_FILES)]
        found = map(find_exposure, (self.path.parent, *files))
        return [reason for reason in found if reason is not None]

    def is_empty(self) -> bool:
        """Return whether the database has no table."""
        with self.read() as session:
            return not session.scalar(text("SELECT count(*) FROM sqlite_master"))
