"""Row codes on PostgreSQL: functions of the server compute them, with a key that each session of this program sets.

The key is a bound parameter of the session. A superuser of the server can read it from memory: this does not hold
against one.
"""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Boolean, Connection, Engine, LargeBinary, event
from sqlalchemy.engine import ExecutionContext
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

NOTICE = "mien row "
"""The beginning of the notice about a row that does not fit; its table and first columns follow."""
_KEYED = "row_key"
"""Key of a connection's info: whether its session has the key."""
_SET_KEY = "SELECT set_config('mien.row_key', %s, %s)"


class RowCode(GenericFunction[bytes]):
    """The code of a row: the name of its table, then its columns."""

    type = LargeBinary()
    name = "mien_row_code"
    inherit_cache = True


class RowFits(GenericFunction[bool]):
    """Whether a row has its code: the name of its table, the code, then its columns."""

    type = Boolean()
    name = "mien_row_fits"
    inherit_cache = True


@compiles(RowCode, "postgresql")
def _compile_code(element: RowCode, compiler: SQLCompiler, **named: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    table, *columns = (compiler.process(one, **named) for one in element.clauses)
    return f"mien_row_code({', '.join([table, *(f'({column})::text' for column in columns)])})"


@compiles(RowFits, "postgresql")
def _compile_fits(element: RowFits, compiler: SQLCompiler, **named: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    table, mac, *columns = (compiler.process(one, **named) for one in element.clauses)
    return f"mien_row_fits({', '.join([mac, table, *(f'({column})::text' for column in columns)])})"


class KeyedSessions:
    """Gives the sessions of one engine the key, as soon as it is known, and collects rows that do not fit.

    Args:
        engine: the connections.
        load_key: returns the key, as `MacKey.padded` does.
        suspect: called with the table and the first columns of a row that does not fit.
    """

    def __init__(self, engine: Engine, load_key: Callable[[], str], suspect: Callable[..., None]) -> None:
        self._load_key, self._suspect = load_key, suspect
        self._key: str | None = None
        event.listen(engine, "connect", self._hear)
        event.listen(engine, "checkout", self._set_for_session)
        event.listen(engine, "before_cursor_execute", self._set_for_transaction)

    def _hear(self, connection: Any, _record: object) -> None:  # noqa: ANN401 - a connection of psycopg
        connection.add_notice_handler(self._note)

    def _note(self, notice: Any) -> None:  # noqa: ANN401 - as above
        message = notice.message_primary or ""
        if message.startswith(NOTICE):
            self._suspect(*json.loads(message.removeprefix(NOTICE)))

    def _set_for_session(self, connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401
        if self._key is not None and _KEYED not in record.info:
            connection.execute(_SET_KEY, (self._key, False))
            record.info[_KEYED] = True

    def _set_for_transaction(
        self,
        connection: Connection,
        cursor: Any,  # noqa: ANN401 - a cursor of psycopg
        statement: str,
        _parameters: object,
        context: ExecutionContext,
        _many: object,
    ) -> None:
        # The first such statement: the register has the key only after its migration, which is a script.
        if (
            "mien_row_" in statement
            and getattr(context, "compiled", None) is not None
            and _KEYED not in connection.info
        ):
            self._key = self._load_key()
            cursor.execute(_SET_KEY, (self._key, True))
