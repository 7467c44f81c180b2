"""Bring a store to its schema, with Alembic."""

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.db.sqlite.store import Store
from app.kit.resources import shipped_directory

MIGRATIONS = shipped_directory("migrations")


def _config(store: Store) -> Config:
    config = Config()
    # The folder is named after the database: `mien.db` by `migrations/mien`.
    config.set_main_option("script_location", str(MIGRATIONS / store.path.stem))
    config.set_main_option("path_separator", "os")
    return config


class NewerSchemaError(Exception):
    """A newer version wrote the store; no migration leads back."""


def upgrade(store: Store) -> None:
    """Migrate *store*, which is not newer than this version, to the newest schema, all in one transaction."""
    config = _config(store)
    with store.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "head")


def refuse_newer(store: Store) -> None:
    """Refuse a store whose schema this version does not know.

    Going down is not supported: it would have to throw away what the newer version wrote, and a column that is dropped
    may be the one that says what somebody decided.

    Raises:
        NewerSchemaError: it is of a newer version.
    """
    found = revision(store)
    if not knows(store.path.stem, found):
        msg = (
            f"{store.path.name} has schema {found}, which this version of Mien does not know: a newer one wrote it. "
            "Run that version or a later one: there is no way down (docs/how-to/back-up-and-restore.md)"
        )
        raise NewerSchemaError(msg)


def at_head(store: Store) -> bool:
    """Return whether *store* has the newest schema."""
    return revision(store) == ScriptDirectory.from_config(_config(store)).get_current_head()


def revision(store: Store) -> str | None:
    """Return the newest migration that *store* has had."""
    with store.read() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def knows(name: str, wanted: str | None) -> bool:
    """Say whether this version can bring a database, by its name (`mien`, `register`), from *wanted* to its schema."""
    script = ScriptDirectory(str(MIGRATIONS / name))
    return wanted is None or wanted in {known.revision for known in script.walk_revisions()}
