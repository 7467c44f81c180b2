"""The schema of a SQLite database, as its file holds it."""

import sqlite3
from contextlib import closing

from app.db.schema import Schema, collect_schema

QUERY = "SELECT type, name, tbl_name, sql FROM sqlite_master"
"""Reads the schema from the file, also where a connection knows an earlier one."""


def parse_schema(script: str) -> Schema:
    """Return the schema that the statements of *script* create."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(script)
        return collect_schema(connection.execute(QUERY))
