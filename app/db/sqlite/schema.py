"""The schema of a database, compared object by object.

A planted trigger could undo an acknowledged write, and a dropped one could allow a forbidden row. So the tables,
indexes, triggers and views of a database must be exactly those of this version, by their text.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any, TypeAlias

from app.db.errors import ChangedSchemaError

Schema: TypeAlias = dict[tuple[str, str], tuple[str, str | None]]
"""By type and name of an object: its table and its SQL. An index of a constraint has no SQL."""
QUERY = "SELECT type, name, tbl_name, sql FROM sqlite_master"
"""Reads the schema from the file, also where a connection knows an earlier one."""
SHOWN = 60
"""Characters of a name in a message."""


def collect_schema(rows: Iterable[Sequence[Any]]) -> Schema:
    """Return the schema that the rows of `QUERY` describe."""
    return {(kind, name): (table, sql) for kind, name, table, sql in rows}


def parse_schema(script: str) -> Schema:
    """Return the schema that the statements of *script* create."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(script)
        return collect_schema(connection.execute(QUERY))


def refuse_changed(found: Schema, expected: Schema, *, database: str) -> None:
    """Refuse a database whose schema is not the expected one.

    Raises:
        ChangedSchemaError: an object is planted, missing or changed.
    """
    if found == expected:
        return
    changed = min(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
    state = "is missing" if changed not in found else "was changed" if changed in expected else "was planted"
    # Its author chose the name.
    shown = ascii(" ".join(changed))[1:-1][:SHOWN]
    msg = (
        f"another program changed the schema of {database}: the {shown} {state}. Nothing is written until a backup is "
        "restored (docs/how-to/back-up-and-restore.md)"
    )
    raise ChangedSchemaError(msg)
