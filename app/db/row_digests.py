"""Digests of every table of a database, as the driver reads them: no code is shared with that which copies rows.

Two databases with equal digests hold the same rows, on SQLite or on PostgreSQL. The order of the rows does not count.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, inspect

NOT_COMPARED = "alembic_version"
"""Alembic's own table, which is no content."""
PAGE = 500
"""Rows that are in memory at once."""


@dataclass(frozen=True, slots=True)
class TableDigest:
    """The number of rows of a table, and the sum of their digests."""

    rows: int
    total: str


def table_digests(engine: Engine, *, leave_out: Collection[str] = ()) -> dict[str, TableDigest]:
    """Return the digest of each table, by name.

    Args:
        engine: the connections of the database.
        leave_out: names of columns that may differ.
    """
    catalogue = inspect(engine)
    names = sorted(set(catalogue.get_table_names()) - {NOT_COMPARED})
    objects = {
        name: {one["name"] for one in catalogue.get_columns(name) if str(one["type"]) == "JSON"} for name in names
    }
    with engine.connect() as connection, connection.begin():
        driver = connection.connection.driver_connection
        return {name: _digest(_rows(driver, name, set(leave_out)), objects[name]) for name in names}


def _rows(connection: Any, table: str, leave_out: set[str]) -> Iterator[list[tuple[str, object]]]:  # noqa: ANN401 - of either driver
    # A cursor with a name leaves the rows on the server; SQLite reads them one by one anyway.
    with closing(connection.cursor("digests") if hasattr(connection, "pgconn") else connection.cursor()) as cursor:
        cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - the name is from the catalogue
        names = [column[0] for column in cursor.description]
        while page := cursor.fetchmany(PAGE):
            for row in page:
                yield sorted((name, value) for name, value in zip(names, row, strict=True) if name not in leave_out)


def _digest(rows: Iterator[list[tuple[str, object]]], objects: Collection[str]) -> TableDigest:
    count = total = 0
    for row in rows:
        # PostgreSQL gives objects, SQLite their text.
        texts = [(name, _compact(value) if name in objects else _as_sqlite_stores(value)) for name, value in row]
        text = repr(texts)
        total += int.from_bytes(hashlib.sha256(text.encode()).digest())
        count += 1
    return TableDigest(count, f"{total % 2**256:064x}")


def _compact(value: object) -> str:
    return json.dumps(json.loads(value) if isinstance(value, str) else value, sort_keys=True)


def _as_sqlite_stores(value: object) -> object:
    """Return a value of either driver in the form in which SQLite stores it."""
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S.%f}"
    if isinstance(value, date):
        return value.isoformat()
    return int(value) if isinstance(value, bool) else value
