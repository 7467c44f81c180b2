"""Statements for what is asked most: SQLAlchemy writes their text and knows their types, once; the driver runs them.

A session takes ten times as long for one row, and a hundred milliseconds after the last request (an engine was at work
meanwhile) it takes a millisecond more. Everything else about a statement is as it was: the same connections, the same
transactions, the same errors.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from sqlite3 import Connection as SqliteConnection
from sqlite3 import Error as SqliteError
from typing import Any

from sqlalchemy import Dialect, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import ReturnsRows

Values = tuple[Any, ...]
"""One row."""
MET = "met"
"""Where a store's session says who is told of what the driver raises."""
_Convert = Callable[[Any], Any] | None


class Prepared:
    """One statement, whose changing values are `bindparam`s; none of them in an `IN`."""

    def __init__(self, statement: ReturnsRows) -> None:
        self._statement = statement
        self.text = ""
        """As the database was given it; empty before the first time."""
        self._conversions: tuple[list[tuple[str, bool, Any, _Convert]], list[_Convert]] = [], []

    def rows(self, connection: SqliteConnection, dialect: Dialect, values: dict[str, Any]) -> list[Values]:
        """Run it; return its rows, of the types of their columns.

        Raises:
            KeyError: a `bindparam` was given no value.
        """
        if not self.text:
            self._make(dialect)
        given, taken = self._conversions
        bound = []
        for name, open_, fixed, convert in given:
            value = values[name] if open_ else fixed
            bound.append(value if convert is None else convert(value))
        found = connection.execute(self.text, bound).fetchall()
        return [
            tuple([value if convert is None else convert(value) for convert, value in zip(taken, row, strict=True)])
            for row in found
        ]

    def _make(self, dialect: Dialect) -> None:
        compiled: Any = self._statement.compile(dialect=dialect)
        given: list[tuple[str, bool, Any, _Convert]] = []
        for name in compiled.positiontup or ():
            bind = compiled.binds[name]
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
            given.append((bind.key, bind.required, None if bind.required else bind.effective_value, convert))
        taken: list[_Convert] = [
            column.type.dialect_impl(dialect).result_processor(dialect, None)
            for column in self._statement.exported_columns
        ]
        self._conversions = given, taken
        # The last: another thread takes it for a sign that all is there.
        self.text = compiled.string


class Statements:
    """One open transaction in which prepared statements run."""

    __slots__ = ("_connection", "_dialect")

    def __init__(self, connection: SqliteConnection, dialect: Dialect) -> None:
        self._connection = connection
        self._dialect = dialect

    def all(self, statement: Prepared, **values: object) -> list[Values]:
        """Return every row."""
        return statement.rows(self._connection, self._dialect, values)

    def first(self, statement: Prepared, **values: object) -> Values | None:
        """Return the first row, if there is one."""
        found = self.all(statement, **values)
        return found[0] if found else None


class _InSession(Statements):
    """Those in the transaction of a session: what the driver raises is raised as by the session itself."""

    __slots__ = ("_met",)

    def __init__(self, connection: SqliteConnection, dialect: Dialect, met: Callable[[SqliteError], None]) -> None:
        super().__init__(connection, dialect)
        self._met = met

    def all(self, statement: Prepared, **values: object) -> list[Values]:
        """Return every row."""
        try:
            return super().all(statement, **values)
        except SqliteError as error:
            self._met(error)
            raise _as_of_sqlalchemy(error, self._dialect) from error


def within(session: Session) -> Statements:
    """Run prepared statements in the transaction of *session*, one that a store opened."""
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    return _InSession(driver, connection.dialect, session.info[MET])


def _as_of_sqlalchemy(error: SqliteError, dialect: Dialect) -> BaseException:
    """Return what SQLAlchemy would raise: whoever catches a failing store need not know how it was asked."""
    return DBAPIError.instance(None, None, error, SqliteError, dialect=dialect)


@contextmanager
def transaction(
    engine: Engine,
    *,
    begin: str,
    end: str,
    met: Callable[[SqliteError], None],
    started: Callable[[dict[Any, Any]], None] | None = None,
    patience_s: float | None = None,
    busy_s: float = 0.0,
) -> Iterator[Statements]:
    """Open one transaction on a pooled connection; what the block raises rolls it back.

    Args:
        met: told of what the driver raises.
        started: told when it begins, with what is noted of the connection.
        patience_s: how long this one waits for another writer.
        busy_s: how long the others on the same connection do.
    """
    try:
        with closing(engine.raw_connection()) as pooled, _patient(pooled.driver_connection, patience_s, busy_s) as ours:
            if started is not None:
                started(pooled.info)
            ours.execute(begin)
            yield Statements(ours, engine.dialect)
            ours.execute(end)
    except SqliteError as error:
        met(error)
        raise _as_of_sqlalchemy(error, engine.dialect) from error


@contextmanager
def _patient(connection: Any, patience_s: float | None, busy_s: float) -> Iterator[SqliteConnection]:  # noqa: ANN401 - SQLAlchemy does not say which driver
    if patience_s is None:
        yield connection
        return
    connection.execute(f"PRAGMA busy_timeout={int(1000 * patience_s)}")
    try:
        yield connection
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(1000 * busy_s)}")
