"""The part of a store that is the same on SQLite and on PostgreSQL: its connections, reads and faults."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, ExceptionContext, event
from sqlalchemy.orm import Session

from app.db.fault_log import FaultLog

MIN_READ_S = 1.0
"""The shortest time limit of a read, however short the busy time is."""
WAIT = "lock_wait"
"""Execution option of a connection: seconds that its transaction waits for another writer."""


def max_read_s(busy_s: float) -> float:
    """Return the time limit of a read: shorter than the busy time, so that a checkpoint outlasts every read."""
    return max(MIN_READ_S, busy_s / 2)


class PooledStore:
    """The connections of one database that read, those that write, and the log of its faults.

    Args:
        name: `mien` or `register`.
        place: the place of the database, for a message to the operator.
        reader: the connections that read.
        writer: the connections that write.
        fault_log: logs the faults of both.
    """

    def __init__(self, *, name: str, place: str, reader: Engine, writer: Engine, fault_log: FaultLog) -> None:
        self.name, self.place = name, place
        self.reader, self.writer, self.fault_log = reader, writer, fault_log
        for engine in (writer, reader):
            event.listen(engine, "handle_error", self._report)

    def _report(self, context: ExceptionContext) -> None:
        # A writer that chose a short wait may find the lock taken: no fault of the store.
        if context.connection is None or WAIT not in context.connection.get_execution_options():
            self.fault_log.report_fault(context.original_exception)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open one read transaction: a consistent view. After a time limit it is interrupted."""
        with Session(self.reader, expire_on_commit=False) as session:
            session.connection()
            yield session

    def log_faults(self) -> None:
        """Log faults from now on. A command prints its own error."""
        self.fault_log.enabled = True

    def open_transactions(self) -> int:
        """Count the connections in use now."""
        return sum(engine.pool.checkedout() for engine in (self.reader, self.writer))  # type: ignore[attr-defined]

    def close(self) -> None:
        """Close every connection."""
        self.reader.dispose()
        self.writer.dispose()
