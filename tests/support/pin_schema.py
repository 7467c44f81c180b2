"""Write `migrations/*/schema.sql` and `migrations/*/postgres/schema.json`, the schemas that all migrations make.

`make schema` runs this after every new migration.
"""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from app.db.migrate import MIGRATIONS, upgrade
from app.db.postgres.schema import read_schema, write_schema
from app.db.postgres.store import PostgresStore
from app.db.schema import Schema
from app.db.sqlite.store import SqliteStore
from tests.support.postgres_clusters import running_clusters

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


def migrated_postgres_schema(name: str, url: str) -> Schema:
    """Return the newest schema of the database *name*, made in the empty database at *url*."""
    store = PostgresStore(make_url(url), name=name)
    upgrade(store)
    with store.read() as session:
        found = read_schema(session.connection())
    store.close()
    return found


if __name__ == "__main__":
    with running_clusters() as clusters:
        empty = clusters.create()
        for database, url in (("mien", empty.data_url), ("register", empty.register_url)):
            (MIGRATIONS / database / "schema.sql").write_text(migrated_schema(database), "utf-8")
            pinned = MIGRATIONS / database / "postgres" / "schema.json"
            write_schema(migrated_postgres_schema(database, url), pinned)
