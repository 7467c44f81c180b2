"""Column types shared by all tables, and the base class of the tables in the data store."""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import DateTime, Dialect, Enum, Uuid
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant. SQLite drops time zones: stored naive in UTC, given back aware, a naive one refused."""

    impl = DateTime
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """Return the Python type of a value that is read back."""
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Convert to naive UTC; a naive instant raises ValueError."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "a naive datetime has no meaning here"
            raise ValueError(msg)
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """Convert back to aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


def spelled(kind: type[StrEnum], *, length: int = 32) -> Enum:
    """Store an enum by its values, and read it back as the enum: a plain String would read back as str."""
    return Enum(kind, native_enum=False, length=length, values_callable=lambda known: [one.value for one in known])


class Row(DeclarativeBase):
    """The base of every table in the data store."""

    type_annotation_map = {UUID: Uuid(), datetime: UtcDateTime()}  # noqa: RUF012 - SQLAlchemy reads a plain dict
