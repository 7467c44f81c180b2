"""Write `migrations/*/schema.sql`, the schema that all migrations make: `make schema`, after every new migration."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from app.db.migrate import MIGRATIONS, upgrade
from app.db.sqlite.store import SqliteStore

OBJECTS = """
SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
ORDER BY type = 'trigger', type = 'index', name
"""


def migrated_schema(name: str) -> str:
    """Return the statements that make the newest schema of the database *name*."""
    with tempfile.TemporaryDirectory() as directory:
        store = SqliteStore(Path(directory) / f"{name}.db")
        upgrade(store)
        store.close()
        with closing(sqlite3.connect(store.path)) as connection:
            statements = [row[0] for row in connection.execute(OBJECTS)]
    return "-- Made from the migrations by `make schema`.\n" + "".join(f"{statement};\n" for statement in statements)


if __name__ == "__main__":
    for database in ("mien", "register"):
        (MIGRATIONS / database / "schema.sql").write_text(migrated_schema(database), "utf-8")
