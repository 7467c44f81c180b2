"""Bring a store to its schema, with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.kit.db import Store

MIGRATIONS = Path(__file__).parents[2] / "migrations"


def _config(store: Store) -> Config:
    config = Config()
    # The folder is named after the database: `mien.db` by `migrations/mien`.
    config.set_main_option("script_location", str(MIGRATIONS / store.path.stem))
    config.set_main_option("path_separator", "os")
    return config


class NewerSchemaError(Exception):
    """A store was written by a newer version; there is no way down."""


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
    known = {script.revision for script in ScriptDirectory.from_config(_config(store)).walk_revisions()}
    for revision in sorted(_current(store) - known):
        msg = (
            f"{store.path.name} has schema {revision}, which this version of Mien does not know: a newer one wrote it. "
            "Run that version or a later one; to go back, restore a backup that was made before the upgrade"
        )
        raise NewerSchemaError(msg)


def at_head(store: Store) -> bool:
    """Say whether *store* has the newest schema."""
    return _current(store) == set(ScriptDirectory.from_config(_config(store)).get_heads())


def _current(store: Store) -> set[str]:
    with store.read() as session:
        return set(MigrationContext.configure(session.connection()).get_current_heads())
