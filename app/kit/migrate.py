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


def upgrade(store: Store) -> None:
    """Migrate *store* to the newest schema, all in one transaction."""
    config = _config(store)
    with store.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "head")


def at_head(store: Store) -> bool:
    """Say whether *store* has the newest schema."""
    script = ScriptDirectory.from_config(_config(store))
    with store.read() as session:
        current = MigrationContext.configure(session.connection()).get_current_heads()
    return set(current) == set(script.get_heads())


def revision(store: Store) -> str | None:
    """Return the newest migration that *store* has had."""
    with store.read() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def knows(name: str, wanted: str | None) -> bool:
    """Say whether this version can bring a database, by its name (`mien`, `register`), from *wanted* to its schema."""
    script = ScriptDirectory(str(MIGRATIONS / name))
    return wanted is None or wanted in {known.revision for known in script.walk_revisions()}
