"""Change the schema of a store as a test needs it, although the service refuses a store with another schema."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from app.db.store import Store
from tests.support.sqlite_stores import in_file


def accept_any_schema(store: Store) -> None:
    """Let this store write from now on, any its schema."""
    store._schema = None  # type: ignore[attr-defined]


@contextmanager
def without_trigger(store: Store, name: str) -> Iterator[None]:
    """Remove a trigger for the block, and create it again as it was."""
    with store.write(migrating=True) as session:
        made = session.scalar(
            text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = :name"), {"name": name}
        )
        session.execute(text(f"DROP TRIGGER {name}"))
    embedded = in_file(store)
    checked, embedded._schema = embedded._schema, None
    try:
        yield
    finally:
        embedded._schema = checked
        with store.write(migrating=True) as session:
            session.connection().exec_driver_sql(made)
