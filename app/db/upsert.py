"""Insert a row, or change the row that has its key already: one statement, in both dialects."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import Insert


class Upsert:
    """An insert that changes the row with the same key instead, if there is one.

    Args:
        table: the table.
        key: the columns of the key, which a unique constraint covers.
        changes: the new values of the row that exists.
    """

    def __init__(self, table: type[Any], *, key: Sequence[str], changes: Mapping[str, Any]) -> None:
        self._by_dialect: dict[str, Insert] = {
            "sqlite": sqlite.insert(table).on_conflict_do_update(index_elements=key, set_=changes),
            "postgresql": postgresql.insert(table).on_conflict_do_update(index_elements=key, set_=changes),
        }

    def execute(self, session: Session, row: Mapping[str, Any]) -> None:
        """Write *row*, or change the row that has its key."""
        connection = session.connection()
        connection.execute(self._by_dialect[connection.dialect.name], row)
