"""Schema migrations of a store. Alembic is imported only when a store is migrated: that takes a third of a second."""

from functools import cache
from importlib import import_module

from sqlalchemy import inspect, text

from app.db.postgres.schema import parse_schema as parse_postgres_schema
from app.db.schema import Schema
from app.db.sqlite.schema import parse_schema
from app.db.store import Store
from app.kit.errors import OperatorError
from app.kit.resources import shipped_directory

MIGRATIONS = shipped_directory("migrations")
VERSIONS = {"sqlite": "versions", "postgresql": "postgres"}
"""By kind of database, the directory of its migrations. Both kinds have the same revisions from 0012 and 0003 on."""
UNFINISHED = "moving-"
"""The schema version of a database begins with it while `mien move` fills that."""


class NewerSchemaError(OperatorError):
    """A newer version wrote the store; it cannot be migrated back."""


def upgrade(store: Store) -> None:
    """Migrate *store* to the newest schema, in one transaction. It must not be newer than this version."""
    with store.write(migrating=True) as session:
        directory = MIGRATIONS / store.name
        versions = directory / VERSIONS[session.connection().dialect.name]
        import_module("app.db.run_migrations").run_migrations(session.connection(), directory, versions)


@cache
def pinned_schema(name: str, dialect: str = "sqlite") -> Schema:
    """Return the schema that all migrations of the database *name* make, as `make schema` wrote it."""
    if dialect == "sqlite":
        return parse_schema((MIGRATIONS / name / "schema.sql").read_text("utf-8"))
    return parse_postgres_schema(MIGRATIONS / name / "postgres" / "schema.json")


def refuse_newer(store: Store) -> None:
    """Refuse a store whose schema this version does not know.

    Migrations only go forward: going back could drop a column that records a decision of a subject.

    Raises:
        NewerSchemaError: a newer version wrote it.
    """
    found = revision(store)
    if found is not None and found.startswith(UNFINISHED):
        raise NewerSchemaError(f"{store.place} is filled by a move that is unfinished: run `mien move` again")
    if not knows(store.name, found):
        msg = (
            f"{store.place} has schema {found}, which this version of Mien does not know: a newer one wrote it. "
            "Run that version or a later one; migrations only go forward (docs/how-to/back-up-and-restore.md)"
        )
        raise NewerSchemaError(msg)


def at_head(store: Store) -> bool:
    """Return whether *store* has the newest schema."""
    return revision(store) == revisions(store.name)[-1]


def revision(store: Store) -> str | None:
    """Return the newest migration of *store*, as Alembic recorded it."""
    with store.read() as session:
        if not inspect(session.connection()).has_table("alembic_version"):
            return None
        found: str | None = session.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def set_revision(store: Store, version: str) -> None:
    """Record *version* as the newest migration of *store*."""
    with store.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def revisions(name: str) -> list[str]:
    """Return the migrations of the database *name* (`mien` or `register`), oldest first."""
    return sorted(file.name.partition("_")[0] for file in (MIGRATIONS / name / "versions").glob("[0-9]*.py"))


def knows(name: str, wanted: str | None) -> bool:
    """Return whether this version has the migration *wanted* of the database *name*."""
    return wanted is None or wanted in revisions(name)
