"""Tables of the register, and the tables of the data store that tie it to its register."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Date, ForeignKey, Index, LargeBinary, String, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.db.data_map import CREDENTIAL, IMPERSONAL, PERSONAL, SEALED_RECORD
from app.db.types import COUNT, Row, UtcDateTime, value_enum


class OwnerKind(StrEnum):
    """The kinds of owner that a key can have."""

    SUBJECT = "subject"
    GRANT = "grant"
    LOG = "log"
    """The transparency log: its guard key, and one key for each signing key."""
    SERVICE = "service"
    """The service: its counts about relying parties."""


class EndedKind(StrEnum):
    """The kinds of id that can end for good."""

    SUBJECT = "subject"
    GRANT = "grant"
    TOKEN = "token"  # noqa: S105 - a kind of thing, not a secret
    RELYING_PARTY = "relying_party"
    RELYING_PARTY_KEY = "relying_party_key"
    REPLACED_KEY = "replaced_key"
    """A relying party's key that has a successor, and works until the time in its row."""
    SPELL = "spell"
    """A matching period of a subject or a grant, ended by a restriction or a dispute."""
    HISTORY = "history"
    """A subject's comparisons before a day, deleted by the subject; the tombstone has that day."""
    ROWS_WITHOUT_CODE = "rows_without_code"
    """The acceptance of rows that have no authentication code (`vault.authentic_rows`)."""
    CALLBACK = "callback"
    """A relying party's callback."""


class RegisterRow(DeclarativeBase):
    """The base of the register's tables; no foreign key joins them to the data store."""

    type_annotation_map = {UUID: Uuid(), EndedKind: value_enum(EndedKind)}  # noqa: RUF012 - SQLAlchemy reads a plain dict


class KeySlot(RegisterRow):
    """A key, wrapped under the key-encryption key; zeros once it is destroyed.

    `secure_delete` misses copies that SQLite leaves in a page when it moves a row. So rows of this table never move:
    they are appended, never deleted, and zeros overwrite a destroyed key in place, at the same size. Only the index
    moves, and it holds digests.
    """

    __tablename__ = "keys"
    __table_args__ = (Index("keys_by_owner", "owner"),)

    slot: Mapped[int] = mapped_column(COUNT, primary_key=True, autoincrement=True, info=IMPERSONAL)
    owner: Mapped[bytes] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    """SHA-256 of the owner; without the random id it identifies nothing."""
    generation: Mapped[int] = mapped_column(info=IMPERSONAL)
    kek_id: Mapped[str] = mapped_column(String(16), info=IMPERSONAL)
    wrapped: Mapped[bytes] = mapped_column(LargeBinary, info=CREDENTIAL)


class Tombstone(RegisterRow):
    """The record that an id ended for good. It holds only the SHA-256 of the random id."""

    __tablename__ = "tombstones"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, info=IMPERSONAL)
    kind: Mapped[EndedKind] = mapped_column(info=IMPERSONAL)
    ended_as: Mapped[str] = mapped_column(String(32), info=IMPERSONAL)
    ended_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)


class Origin(RegisterRow):
    """The identity of this register: one row."""

    __tablename__ = "origin"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    proof: Mapped[bytes] = mapped_column(LargeBinary, info=CREDENTIAL)
    """A wrapped key that opens only under the right key-encryption key."""
    kek_id: Mapped[str | None] = mapped_column(String(16), info=IMPERSONAL)
    """The key-encryption key for new keys; during a rotation older keys are under another. None in a register of 0.1.0
    until the first start."""


class Ending(Row):
    """An end that committed together with its replacement; deleted when the register has the tombstone.

    It names no subject. It exists between two commits, or for as long as the register fails.
    """

    __tablename__ = "endings"

    kind: Mapped[EndedKind] = mapped_column(value_enum(EndedKind), primary_key=True, info=IMPERSONAL)
    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    ended_as: Mapped[str] = mapped_column(String(32), info=IMPERSONAL)
    ended_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)


class KeptAnswer(Row):
    """The answer to a request that had an Idempotency-Key, sealed under the subject's key and under the client's."""

    __tablename__ = "kept_answers"
    __table_args__ = (Index("kept_answers_by_day", "kept_on"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True, info=PERSONAL)
    grant_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("grants.id", ondelete="CASCADE"), index=True, info=PERSONAL
    )
    """The consent that the answer ends with, for a decision and for measures of photos. None for an answer that stays
    after a withdrawal."""
    lookup: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info=CREDENTIAL)
    """Derived from the Idempotency-Key, the operation and the caller: see `kept_answers.RequestKey`."""
    kept_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)


class BoundTo(Row):
    """The register with the keys of this data store: one row."""

    __tablename__ = "bound_to"

    origin_id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)


class RestoreColumns:
    """The columns of a restore, which discarded every change after its backup."""

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    sha256: Mapped[str] = mapped_column(String(64), info=IMPERSONAL)
    """SHA-256 of the backup."""
    restored_at: Mapped[datetime] = mapped_column(UtcDateTime(), info=IMPERSONAL)

    def fields(self) -> dict[str, Any]:
        """Return the values of the columns."""
        return {"id": self.id, "made_at": self.made_at, "sha256": self.sha256, "restored_at": self.restored_at}


class Restoration(RestoreColumns, Row):
    """A restore of this data, or one that the register knew when this data was restored."""

    __tablename__ = "restorations"


class LeftHistory(RestoreColumns, RegisterRow):
    """A restore after which the service started. The keys of the discarded timeline are destroyed."""

    __tablename__ = "left_histories"
