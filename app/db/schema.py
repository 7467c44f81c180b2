"""The schema of a database, compared object by object.

A planted trigger could undo an acknowledged write, and a dropped one could allow a forbidden row. So the tables,
indexes, triggers and views of a database must be exactly those of this version, by their text.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from app.db.errors import ChangedSchemaError

Schema: TypeAlias = dict[tuple[str, str], tuple[str, str | None]]
"""By type and name of an object: its table and its definition. An index of a constraint has none on SQLite."""
SHOWN = 60
"""Characters of a name in a message."""


def collect_schema(rows: Iterable[Sequence[Any]]) -> Schema:
    """Return the schema of rows of type, name, table and definition."""
    return {(kind, name): (table, definition) for kind, name, table, definition in rows}


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
