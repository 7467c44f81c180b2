"""Run the migrations of one directory with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def run_migrations(connection: Connection, directory: Path, versions: Path) -> None:
    """Migrate to the newest schema, in the transaction of *connection*.

    Args:
        connection: the open transaction.
        directory: the directory of `env.py`.
        versions: the directory of the migrations for this kind of database.
    """
    config = Config()
    # The configuration's own syntax gives `%` a meaning, and a path may hold one.
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    config.set_main_option("version_locations", str(versions).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
