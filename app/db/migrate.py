"""Schema migrations of a store, with Alembic."""

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.db.sqlite.store import Store
from app.kit.resources import shipped_directory

MIGRATIONS = shipped_directory("migrations")


def _config(store: Store) -> Config:
    config = Config()
    # `migrations/mien` migrates `mien.db`.
    config.set_main_option("script_location", str(MIGRATIONS / store.path.stem))
    config.set_main_option("path_separator", "os")
    return config


class NewerSchemaError(Exception):
    """A newer version wrote the store; it cannot be migrated back."""


def upgrade(store: Store) -> None:
    """Migrate *store* to the newest schema, in one transaction. It must not be newer than this version."""
    config = _config(store)
    with store.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "head")


def refuse_newer(store: Store) -> None:
    """Refuse a store whose schema this version does not know.

    Migrations only go forward: going back could drop a column that records a decision of a subject.

    Raises:
        NewerSchemaError: a newer version wrote it.
    """
    found = revision(store)
    if not knows(store.path.stem, found):
        msg = (
            f"{store.path.name} has schema {found}, which this version of Mien does not know: a newer one wrote it. "
            "Run that version or a later one; migrations only go forward (docs/how-to/back-up-and-restore.md)"
        )
        raise NewerSchemaError(msg)


def at_head(store: Store) -> bool:
    """Return whether *store* has the newest schema."""
    return revision(store) == ScriptDirectory.from_config(_config(store)).get_current_head()


def revision(store: Store) -> str | None:
    """Return the newest migration of *store*."""
    with store.read() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def knows(name: str, wanted: str | None) -> bool:
    """Return whether this version has the migration *wanted* of the database *name* (`mien` or `register`)."""
    script = ScriptDirectory(str(MIGRATIONS / name))
    return wanted is None or wanted in {known.revision for known in script.walk_revisions()}
