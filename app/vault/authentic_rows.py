"""Rows that only this service can write: each has an authentication code over its columns.

A program that can write the data store, but not read the register, cannot make a code. A changed, copied or planted
row acts as if it did not exist, is logged, and makes `/readyz` answer 503.

* A query asks `is_authentic` for each row that it relies on. SQLite computes the code with a function of this process,
  PostgreSQL with functions of its own (`row_codes_on_postgres`).
* The ORM writes the code of each new and each changed row. A row that is not authentic is never changed, because that
  would make it authentic.
* An earlier state of the same row has a code that fits. The register ends such rows at the next start.

`mien migrate` computes the codes of the rows of an older version, once for each register and migration.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from functools import cache
from sqlite3 import Connection as SqliteConnection
from typing import Any, ClassVar
from uuid import UUID

import structlog
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    LargeBinary,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    cast,
    event,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Mapper, Session, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

from app.db.data_map import CREDENTIAL
from app.db.errors import AlteredStoreError
from app.db.store import Store
from app.vault import authenticity
from app.vault.authenticity import MacUse
from app.vault.register import Ended, Register, tombstone_digest
from app.vault.row_codes_on_postgres import KeyedSessions, RowCode, RowFits
from app.vault.seal import MacKey
from app.vault.tables import EndedKind, Tombstone

_OLDER_ROWS = {
    "0011": UUID("0c9f0d0a-5d8e-4b38-8f0e-6b1d9c3c7e55"),
    "0012": UUID("5a1f0c5e-3d3b-4c0b-9f4e-0c6f7a2b8d14"),
}
"""By the migration that added codes to tables, the id of the tombstone after which no row without a code is accepted.
"""
SIGNED_SINCE = max(_OLDER_ROWS)
"""The newest migration that added codes."""
LARGE_BYTES = 1024
"""A larger value is represented in the code by its SHA-256."""

_CODES = "row_codes"
"""Key of a connection's info."""
MAX_SUSPECTS = 100
"""Rows that are looked up again; further ones are found after the next look."""

log = structlog.get_logger()


class ForgedRowError(AlteredStoreError):
    """A row to be changed is not as this service wrote it."""

    def __init__(self, table: str) -> None:
        super().__init__(f"another program changed a row of {table}: restore a backup")


class AuthenticRow:
    """A mixin for tables whose rows have a code over every column that is not in `unbound`.

    The first columns of such a table are its primary key.
    """

    __table__: ClassVar[Any]
    signed_since: ClassVar[str] = "0011"
    """The migration that added the code."""
    unbound: ClassVar[frozenset[str]] = frozenset()
    """Columns that an attacker gains nothing from, or that are sealed."""

    mac: Mapped[bytes | None] = mapped_column(LargeBinary(32), info=CREDENTIAL)


def _bound(row: type[AuthenticRow]) -> list[Column[Any]]:
    return [column for column in row.__table__.columns if column.name not in row.unbound | {"mac"}]


def is_authentic(row: type[AuthenticRow]) -> ColumnElement[bool]:
    """Return the condition that a row is as this service wrote it."""
    table = row.__table__
    return RowFits(_name_of(table), table.c.mac, *_bound(row))


def _name_of(table: Table) -> ColumnElement[str]:
    return literal_column(f"'{table.name}'")


class RowCodes:
    """Computes and compares codes inside the statements of one data store."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._key: MacKey | None = None
        self._suspects: dict[tuple[object, ...], None] = {}
        """The table and the primary key, as SQLite stores it, or as a text of PostgreSQL."""
        self._forged: set[str] = set()

    def install(self, data: Store) -> None:
        """Give the connections of *data* the two functions."""
        for engine in (data.reader, data.writer):
            engine.dispose()
            if engine.dialect.name == "postgresql":
                KeyedSessions(engine, lambda: self._load_key().padded(), self._suspect)
            else:
                event.listen(engine, "connect", self._add_functions)

    def _load_key(self) -> MacKey:
        if self._key is None:
            self._key = authenticity.mac_key(self._register, MacUse.ROW)
        return self._key

    def _suspect(self, table: str, *values: object) -> None:
        if len(self._suspects) < MAX_SUSPECTS:
            self._suspects[table, *values[: len(_row_class(table).__table__.primary_key)]] = None

    def _add_functions(self, connection: SqliteConnection, record: ConnectionPoolEntry) -> None:
        record.info[_CODES] = self
        connection.create_function("mien_row_code", -1, self.code, deterministic=True)
        connection.create_function("mien_row_fits", -1, self._fits, deterministic=True)

    def code(self, table: str, *values: object) -> bytes:
        """Return the code of a row, from its values as SQLite stores them."""
        return self._load_key().code(repr((table, *map(_shortened, values))).encode())

    def _fits(self, table: str, mac: bytes | None, *values: object) -> bool:
        if mac == self.code(table, *values):
            return True
        # An outer join without a row gives NULL.
        if values[0] is not None:
            self._suspect(table, *values)
        return False

    def find_forged(self, data: Store) -> list[str]:
        """Return the tables in which a row was found that is not authentic, until the next start.

        Each suspected row is looked up by its primary key alone. A database may put a constant of a query in the place
        of a column; then a row that the query leaves out looks changed.
        """
        for suspect in list(self._suspects):
            table, row = str(suspect[0]), _row_class(str(suspect[0]))
            with data.read() as session:
                key = dict(zip(_key_names(row), suspect[1:], strict=True))
                fits = session.scalar(_fits_stored(row, data.reader.dialect.name), key)  # type: ignore[arg-type]
            if fits is False and table not in self._forged:
                self._forged.add(table)
                log.error("row is not authentic", table=table, remedy="docs/how-to/back-up-and-restore.md")
            self._suspects.pop(suspect, None)
        return sorted(self._forged)


def _as_read(value: object) -> object:
    """Return a value as SQLite gives it back: a truth value as a number, any buffer as bytes."""
    if isinstance(value, bool):
        return int(value)
    return bytes(value) if isinstance(value, memoryview | bytearray) else value


def _shortened(value: object) -> object:
    if isinstance(value, bytes) and len(value) > LARGE_BYTES:
        return "SHA-256", hashlib.sha256(value).digest()
    return value


def _row_class(table: str) -> type[AuthenticRow]:
    return next(row for row in AuthenticRow.__subclasses__() if row.__table__.name == table)


@cache
def _encoders(mapper: Mapper[Any], dialect: Dialect) -> list[tuple[str, Callable[[Any], Any] | None]]:
    """Return the attribute of each bound column, and the function that turns its value into that of SQLite."""
    columns = _bound(mapper.class_)
    keys = [mapper.get_property_by_column(column).key for column in columns]
    types = [column.type.dialect_impl(dialect) for column in columns]
    return [(key, kind.bind_processor(dialect)) for key, kind in zip(keys, types, strict=True)]


def _key_names(row: Any) -> list[str]:  # noqa: ANN401 - the cache takes no abstract class
    return [column.name for column in row.__table__.primary_key]


@cache
def _fits_now(row: Any) -> Select[Any]:  # noqa: ANN401 - as above
    key = [column == bindparam(column.name, type_=column.type) for column in row.__table__.primary_key]
    return select(is_authentic(row)).where(*key)


@cache
def _fits_stored(row: Any, dialect: str) -> Select[Any]:  # noqa: ANN401 - as above
    """Like `_fits_now`, for values as SQLite stores them, or for texts of PostgreSQL."""
    table = row.__table__
    if dialect == "sqlite":
        key = [literal_column(f"{table.name}.{name}") == bindparam(name) for name in _key_names(row)]
    else:
        key = [column == cast(bindparam(column.name, type_=Text()), column.type) for column in table.primary_key]
    return select(is_authentic(row)).where(*key)


def _write_code(mapper: Mapper[Any], connection: Connection, row: Any) -> None:  # noqa: ANN401 - any such row
    if connection.dialect.name == "postgresql":
        bound = [(column, mapper.get_property_by_column(column).key) for column in _bound(type(row))]
        values = [literal(getattr(row, key), column.type) for column, key in bound]
        row.mac = RowCode(_name_of(type(row).__table__), *values)
        return
    codes: RowCodes = connection.info[_CODES]
    found = [(getattr(row, key), encode) for key, encode in _encoders(mapper, connection.dialect)]
    stored = (value if encode is None else encode(value) for value, encode in found)
    row.mac = codes.code(mapper.local_table.name, *map(_as_read, stored))  # type: ignore[attr-defined]


@event.listens_for(AuthenticRow, "before_insert", propagate=True)
def _sign_new(mapper: Mapper[Any], connection: Connection, row: AuthenticRow) -> None:
    # The ORM would compute the defaults later.
    for column in _bound(type(row)):
        name = mapper.get_property_by_column(column).key
        if column.default is not None and name not in row.__dict__:
            default: Any = column.default
            setattr(row, name, default.arg(None) if default.is_callable else default.arg)
    _write_code(mapper, connection, row)


@event.listens_for(AuthenticRow, "before_update", propagate=True)
def _sign_changed(mapper: Mapper[Any], connection: Connection, row: Any) -> None:  # noqa: ANN401 - any such row
    # A row that was deleted meanwhile gives None; then the update finds nothing.
    key = dict(zip(_key_names(type(row)), mapper.primary_key_from_instance(row), strict=True))
    if connection.scalar(_fits_now(type(row)), key) is False:  # type: ignore[arg-type]
        raise ForgedRowError(mapper.local_table.name)  # type: ignore[attr-defined]
    _write_code(mapper, connection, row)


def sign_older(session: Session, *, schema: str = "") -> None:
    """Compute the codes of rows of the version with that *schema*, which had none."""
    for row in AuthenticRow.__subclasses__():
        if row.signed_since > schema:
            session.execute(_sign_all(row))


def _sign_all(row: type[AuthenticRow]) -> Update:
    table = row.__table__
    code = RowCode(_name_of(table), *_bound(row))
    return update(table).where(table.c.mac.is_(None)).values(mac=code)


def sign_older_once(data: Store, register: Register, *, now: datetime) -> None:
    """Compute the codes of rows of a version before codes; never again with this register."""
    kind = EndedKind.ROWS_WITHOUT_CODE
    with register.store.read() as session:
        signed = [one for one in _OLDER_ROWS if session.get(Tombstone, tombstone_digest(kind, _OLDER_ROWS[one]))]
    if unsigned := _OLDER_ROWS.keys() - signed:
        with data.write() as session:
            sign_older(session, schema=max(signed, default=""))
        register.end([Ended(kind, _OLDER_ROWS[one], "signed", now.date()) for one in unsigned])
