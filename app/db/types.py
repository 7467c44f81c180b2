"""Column types of all tables, and the base class of the data store's tables."""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import TypeDecorator

from app.db.data_map import PERSONAL, SEALED_RECORD

COUNT = BigInteger().with_variant(Integer(), "sqlite")
"""The type of a number that grows with each act. An INTEGER of SQLite has 64 bits anyway."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant, stored naive in UTC because SQLite drops time zones."""

    impl = DateTime
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """Return the Python type of a value that is read back."""
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Convert to naive UTC.

        Raises:
            ValueError: *value* is naive.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "a time without a time zone cannot be stored"
            raise ValueError(msg)
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Convert back to aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


def value_enum(kind: type[StrEnum], *, length: int = 32) -> Enum:
    """Return a column type that stores an enum by its values and reads it back as the enum."""
    return Enum(
        kind, native_enum=False, length=length, values_callable=lambda known: [member.value for member in known]
    )


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Return an index over the rows that match *where*, in every dialect.

    SQLAlchemy drops the condition of another dialect without a word, and a unique index would then cover all rows.
    """
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


STORED_BY_KEY = {"sqlite_with_rowid": False}
"""Table option: SQLite stores the rows by their random keys, so that they have no order of time.

PostgreSQL has no such tables: there the place and the transaction number of a row tell when it was written.
"""


class Row(DeclarativeBase):
    """The base of every table in the data store."""

    type_annotation_map = {UUID: Uuid(), datetime: UtcDateTime()}  # noqa: RUF012 - SQLAlchemy reads a plain dict


class SealedListRow(Row):
    """A row of a table that holds a numbered list for each subject, sealed under the subject's key."""

    __abstract__ = True

    @declared_attr.directive
    def __table_args__(cls) -> tuple[UniqueConstraint]:  # noqa: N805, D105 - SQLAlchemy passes the class
        return (UniqueConstraint("subject_id", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    position: Mapped[int] = mapped_column(info=PERSONAL)
    """1 for the subject's first row, then counting up."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)
