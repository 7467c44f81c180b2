"""Connections to one PostgreSQL database, with durable commits and one writer at a time.

* A commit waits for the disk, and for the synchronous standby if there is one, also if the server is set not to.
* A writer takes the one advisory lock of the database first, so that writers come one after the other, as on SQLite.
  Shared writers hold it together, and no other writer beside them.
* Readers see one moment and cannot write.
* Only a primary is used: a standby may not have the newest withdrawal.
* A server that loses a client ends its transaction within seconds, so that a dead process holds no lock.
* A long read is interrupted, as on SQLite: the server cannot remove deleted rows that it may still read.
"""

import time
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from app.db.pooled_store import WAIT
from app.db.store import are_reads_limited
from app.kit.errors import OperatorError

POOL_SIZE = 8
"""Connections kept open for each of reading and writing."""
MAX_OVERFLOW = 32
"""Further connections of each kind while many requests run."""
CONNECT_S = 5
"""Seconds to wait for a server."""
SHARED = "shared_writer"
"""Execution option of a connection: whether its transaction may run beside other shared ones."""
WRITER_LOCK = 0x6D69656E
"""Key of the advisory lock of all writers. Such locks belong to one database."""
SESSION = """
SELECT set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
                                        THEN 'on' ELSE current_setting('synchronous_commit') END, false),
       set_config('search_path', 'public, pg_temp', false),
       set_config('timezone', 'UTC', false), set_config('datestyle', 'ISO', false),
       set_config('bytea_output', 'hex', false), set_config('client_min_messages', 'notice', false),
       set_config('idle_in_transaction_session_timeout', '60s', false),
       set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),
       set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '11000', false)
"""
"""The last line ends the transaction of a client that the network cut off."""


class MissingDriverError(OperatorError):
    """PostgreSQL was chosen, and its driver is not installed."""


def connect(url: URL, *, wait_s: float) -> Engine:
    """Create a pool of connections to a primary server."""
    try:
        engine = _create(url, wait_s)
    except ModuleNotFoundError as error:
        raise MissingDriverError("PostgreSQL needs the package psycopg: pip install 'mien[postgres]'") from error
    event.listen(engine, "connect", lambda connection, _record: connection.execute(SESSION))
    return engine


def _create(url: URL, wait_s: float) -> Engine:
    # psycopg is imported here, and only here: with SQLite it need not be installed.
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={
            "autocommit": True,
            "connect_timeout": CONNECT_S,
            "target_session_attrs": "primary",
            "application_name": "mien",
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        },
        pool_size=POOL_SIZE,
        max_overflow=MAX_OVERFLOW,
        pool_timeout=wait_s,
        # A restarted server is noticed before a request uses a dead connection.
        pool_pre_ping=True,
        hide_parameters=True,
    )


def begin_writes(engine: Engine, *, wait_s: float) -> None:
    """Begin each transaction of *engine* with the lock of all writers."""

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        waits, mode = options.get(WAIT, wait_s), "_shared" if options.get(SHARED) else ""
        # One message to the server. The program made the numbers.
        connection.exec_driver_sql(
            f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {max(1, int(1000 * waits))}; "
            f"SELECT pg_advisory_xact_lock{mode}({WRITER_LOCK})"
        )


def begin_reads(engine: Engine, *, max_s: float) -> None:
    """Begin each transaction of *engine* as one that sees one moment, cannot write, and ends after *max_s*."""

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        limited = are_reads_limited()
        connection.info["until"] = float("inf")
        connection.exec_driver_sql(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
            f"SET LOCAL statement_timeout = {int(1000 * max_s) if limited else 0}"
        )
        if limited:
            connection.info["until"] = time.monotonic() + max_s

    @event.listens_for(engine, "before_cursor_execute")
    def _check(connection: Connection, *_arguments: object) -> None:
        if time.monotonic() > connection.info.get("until", float("inf")):
            psycopg: Any = connection.dialect.loaded_dbapi
            raise OperationalError("", None, psycopg.errors.QueryCanceled("the read took too long"))

    @event.listens_for(engine, "reset")
    def _stop(_connection: object, record: ConnectionPoolEntry, _state: object) -> None:
        record.info.pop("until", None)
