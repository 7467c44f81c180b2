"""One SQLite file and its short transactions; the types that its columns have."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import ExceptionContext, event, text
from sqlalchemy.orm import Session

from app.db.sqlite.connections import PATIENCE_S, connect, limit_reads
from app.db.sqlite.fault_log import Trouble
from app.kit.crash_points import step

SHORTEST_READ_S = 1.0
"""Seconds that a read may last at least, however short the busy time."""
RETRY_S = 0.02
"""Seconds between two attempts at what another checkpoint holds up: SQLite does not wait for that by itself."""


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
        self.writer = connect(path, begin="BEGIN IMMEDIATE", query_only=False, busy_s=busy_s)
        self.reader = connect(path, begin="BEGIN", query_only=True, busy_s=busy_s)
        limit_reads(self.reader, longest_s=self.longest_read_s, met=self.trouble.met)
        for engine in (self.writer, self.reader):
            event.listen(engine, "handle_error", self._met)

    def _met(self, context: ExceptionContext) -> None:
        # A writer that chose to wait for less than the others finds the lock taken: no fault of the store.
        if context.connection is None or PATIENCE_S not in context.connection.get_execution_options():
            self.trouble.met(context.original_exception)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open one read transaction: a consistent view. Older than `longest_read_s`, it is interrupted."""
        with Session(self.reader, expire_on_commit=False) as session:
            session.connection()
            yield session

    @contextmanager
    def write(self, *, patience_s: float | None = None) -> Iterator[Session]:
        """Open one write transaction: committed when the block ends, rolled back when it raises.

        Args:
            patience_s: how long to wait for another writer; as long as the store's busy time if not given.
        """
        options = {} if patience_s is None else {PATIENCE_S: patience_s}
        with Session(self.writer, expire_on_commit=False) as session:
            # Begin at once: a writer takes its lock before it reads.
            session.connection(execution_options=options)
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
        step(f"{self.path.name} to be rebuilt")
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
