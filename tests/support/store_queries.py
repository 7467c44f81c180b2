"""Query the database of a store without the program's own connections."""

from typing import Any
from uuid import UUID

import psycopg

from app.db.sqlite.store import SqliteStore
from app.db.store import Store
from tests.support.byte_scan import rows


def read_rows(store: Store, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Return the rows of *query*, where `?` stands for each parameter. Ids are hexadecimal text."""
    if isinstance(store, SqliteStore):
        return rows(store.path, query, *(one.hex if isinstance(one, UUID) else one for one in parameters))
    address = store.writer.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        found = connection.execute(query.replace("?", "%s").encode(), parameters).fetchall()
    return [tuple(one.hex if isinstance(one, UUID) else one for one in row) for row in found]
