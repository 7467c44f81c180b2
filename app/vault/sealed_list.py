"""Sealed JSON records: one in a row, or a numbered list for each subject.

The text is that of `json.dumps`, in the order of the record's fields. It must stay so: audits compare older rows with
newer ones, and exports show the text.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Insert, ScalarSelect, Uuid, bindparam, func, insert, select
from sqlalchemy.orm import Session

from app.kit.json import encode_value
from app.vault.seal import Key
from app.vault.sealing_context import sealing_context

T = TypeVar("T")


class SealedRecord(Generic[T]):
    """The codec of a table with a sealed record in each row.

    Args:
        table: has the columns `id` and `sealed`.
        record: the dataclass. A field with a default may be missing in older rows.
    """

    def __init__(self, table: type[Any], record: type[T]) -> None:
        self.table = table
        self._adapter = TypeAdapter(record)

    def seal(self, key: Key, row_id: UUID, record: T) -> bytes:
        """Seal *record* for the row with this id."""
        text = json.dumps(asdict(record), default=encode_value)  # type: ignore[call-overload]
        return key.seal(text.encode(), sealing_context(self.table.sealed, row_id))

    def open(self, key: Key, row_id: UUID, sealed: bytes) -> T:
        """Open a value that `seal` made for the same row.

        Raises:
            SealError: it does not open.
        """
        return self._adapter.validate_json(key.open(sealed, sealing_context(self.table.sealed, row_id)))

    def find(self, session: Session, key: Key, *, row_id: UUID, subject_id: UUID) -> T | None:
        """Open one record of the subject, in a table with the column `subject_id`."""
        row = session.get(self.table, row_id)
        return None if row is None or row.subject_id != subject_id else self.open(key, row_id, row.sealed)


@dataclass(frozen=True, slots=True)
class SealedEntry(Generic[T]):
    """A record with the id of its row and its position in the subject's list, from 1."""

    id: UUID
    position: int
    record: T


class SealedList(SealedRecord[T]):
    """The codec of a table with a numbered list of records for each subject.

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
        """Yield the subject's opened records, newest first; with *before*, only those before that position."""
        query = select(self.table).where(self.table.subject_id == subject_id)
        if before is not None:
            query = query.where(self.table.position < before)
        for row in session.scalars(query.order_by(self.table.position.desc()).limit(limit)):
            yield SealedEntry(row.id, row.position, self.open(key, row.id, row.sealed))


def next_position(table: type[Any]) -> ScalarSelect[int]:
    """Select the next position in the list of the subject `person_id`."""
    of_subject = table.subject_id == bindparam("person_id", type_=Uuid())
    return select(func.coalesce(func.max(table.position), 0) + 1).where(of_subject).scalar_subquery()


def insert_next(table: type[Any]) -> Insert:
    """Return the statement with which `add_next` writes a row."""
    return insert(table).values(
        id=bindparam("id"),
        # SQLAlchemy knows the type of a foreign key only when every table is imported.
        subject_id=bindparam("subject_id", type_=Uuid()),
        position=next_position(table),
        sealed=bindparam("sealed"),
    )


def add_next(session: Session, statement: Insert, *, row_id: UUID, subject_id: UUID, sealed: bytes) -> None:
    """Write a row with the next position in the subject's list."""
    values = {"id": row_id, "subject_id": subject_id, "person_id": subject_id, "sealed": sealed}
    # A Core statement on the connection flushes no pending objects of the session.
    session.connection().execute(statement, values)
