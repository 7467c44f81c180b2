"""The embedded stores behind the protocol, for tests that look into their files."""

from app.db.sqlite.store import SqliteStore
from app.db.store import Store


def in_file(store: Store) -> SqliteStore:
    """Return *store*, which is one on SQLite."""
    assert isinstance(store, SqliteStore)
    return store
