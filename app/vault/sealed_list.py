"""Records kept as sealed JSON: one record in a row, or a numbered list of them for each subject.

The text is that of `json.dumps`, in the order of the record's fields. It must stay so: older rows are compared with
newer ones by audits, and exports show it as it is.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Insert, ScalarSelect, Uuid, bindparam, func, insert, select
from sqlalchemy.orm import Session

from app.vault.seal import Key
from app.vault.sealing_context import place

T = TypeVar("T")


class SealedRecord(Generic[T]):
    """The codec of a column `sealed` that holds one dataclass as JSON.

    Args:
        table: has the columns `id` and `sealed`.
        record: the dataclass. A field with a default may be missing in older rows.
    """

    def __init__(self, table: type[Any], record: type[T]) -> None:
        self.table = table
        self._adapter = TypeAdapter(record)

    def seal(self, key: Key, row_id: UUID, record: T) -> bytes:
        """Seal *record* for the row with this id."""
        text = json.dumps(asdict(record), default=_encode)  # type: ignore[call-overload]
        return key.seal(text.encode(), place(self.table.sealed, row_id))

    def open(self, key: Key, row_id: UUID, sealed: bytes) -> T:
        """Open a value that `seal` made for the same row.

        Raises:
            SealError: it was not.
        """
        return self._adapter.validate_json(key.open(sealed, place(self.table.sealed, row_id)))


@dataclass(frozen=True, slots=True)
class SealedEntry(Generic[T]):
    """A record with the id of its row and its position in the subject's list, from 1."""

    id: UUID
    position: int
    record: T


class SealedList(SealedRecord[T]):
    """A numbered list for each subject.

    Args:
        table: has the columns `id`, `subject_id`, `position` and `sealed`.
        record: as of `SealedRecord`.
    """

    def __init__(self, table: type[Any], record: type[T]) -> None:
        super().__init__(table, record)
        self._insert = insert_next(table)

    def append(self, session: Session, key: Key, *, row_id: UUID, subject_id: UUID, record: T) -> None:
        """Write the subject's next record."""
        add_next(session, self._insert, row_id=row_id, subject_id=subject_id, sealed=self.seal(key, row_id, record))

    def list_newest_first(
        self, session: Session, key: Key, *, subject_id: UUID, limit: int | None = None, before: int | None = None
    ) -> Iterator[SealedEntry[T]]:
        """Open the subject's records one by one, the newest first; with *before*, those before that position."""
        query = select(self.table).where(self.table.subject_id == subject_id)
        if before is not None:
            query = query.where(self.table.position < before)
        for row in session.scalars(query.order_by(self.table.position.desc()).limit(limit)):
            yield SealedEntry(row.id, row.position, self.open(key, row.id, row.sealed))


def next_position(table: type[Any]) -> ScalarSelect[int]:
    """Select the position after the last in the list of the subject `person_id`."""
    mine = table.subject_id == bindparam("person_id", type_=Uuid())
    last = select(func.coalesce(func.max(table.position), 0) + 1).where(mine)
    return last.scalar_subquery()


def insert_next(table: type[Any]) -> Insert:
    """Return the statement with which `add_next` writes a row."""
    return insert(table).values(
        id=bindparam("id"),
        # The type of a foreign key is known only when every table is.
        subject_id=bindparam("subject_id", type_=Uuid()),
        position=next_position(table),
        sealed=bindparam("sealed"),
    )


def add_next(session: Session, statement: Insert, *, row_id: UUID, subject_id: UUID, sealed: bytes) -> None:
    """Write a row after the last in the subject's list."""
    values = {"id": row_id, "subject_id": subject_id, "person_id": subject_id, "sealed": sealed}
    # A Core statement on the connection flushes no pending objects of the session.
    session.connection().execute(statement, values)


def _encode(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
