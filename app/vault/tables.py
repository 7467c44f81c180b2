"""The register's tables, and the one row by which a data store knows its register."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Date, Index, Integer, LargeBinary, String, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.db.data_map import CREDENTIAL, IMPERSONAL
from app.db.types import Row, UtcDateTime, spelled


class OwnerKind(StrEnum):
    """The kinds of owner that a key can have."""

    SUBJECT = "subject"
    GRANT = "grant"
    LOG = "log"
    """The log itself: what its entries are guarded by, and each key that signs."""
    SERVICE = "service"
    """The service: what it counts of relying parties."""


class EndedKind(StrEnum):
    """The kinds of thing that can end for good."""

    SUBJECT = "subject"
    GRANT = "grant"
    TOKEN = "token"  # noqa: S105 - a kind of thing, not a secret
    RELYING_PARTY = "relying_party"
    RELYING_PARTY_KEY = "relying_party_key"
    REPLACED_KEY = "replaced_key"
    """A relying party's key that has a successor: it goes on until the time that its row says, and no longer."""
    SPELL = "spell"
    """A spell of matching, of a person or of one grant, ended by a restriction or a dispute."""
    HISTORY = "history"
    """A person's comparisons before a day, cut off by them; its tombstone has that day."""
    CALLBACK = "callback"
    """Where a relying party was told of consents."""


class RegisterRow(DeclarativeBase):
    """The base of the register's tables; no foreign key joins them to the data store."""

    type_annotation_map = {UUID: Uuid(), EndedKind: spelled(EndedKind)}  # noqa: RUF012 - SQLAlchemy reads a plain dict


class KeySlot(RegisterRow):
    """A key, wrapped under the key-encryption key; or, once destroyed, nothing but where it was.

    `secure_delete` does not reach the copies that SQLite leaves in a page when it moves a row to another. So this table
    is made not to move rows: they are added at the end, never deleted, and a key is destroyed by writing zeros over it,
    which keeps the row's size and so its place. What does move is the index, and it holds digests only.
    """

    __tablename__ = "keys"
    __table_args__ = (Index("keys_by_owner", "owner"),)

    slot: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True, info=IMPERSONAL)
    owner: Mapped[bytes] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    """SHA-256 of the owner: it identifies no owner without the random id."""
    generation: Mapped[int] = mapped_column(info=IMPERSONAL)
    kek_id: Mapped[str] = mapped_column(String(16), info=IMPERSONAL)
    wrapped: Mapped[bytes] = mapped_column(LargeBinary, info=CREDENTIAL)


class Tombstone(RegisterRow):
    """Something ended for good, known by the SHA-256 of its random id only."""

    __tablename__ = "tombstones"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, info=IMPERSONAL)
    kind: Mapped[EndedKind] = mapped_column(info=IMPERSONAL)
    ended_as: Mapped[str] = mapped_column(String(32), info=IMPERSONAL)
    ended_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)


class Origin(RegisterRow):
    """Which register this is: one row."""

    __tablename__ = "origin"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    proof: Mapped[bytes] = mapped_column(LargeBinary, info=CREDENTIAL)
    """A key of its own, wrapped: opens only under the right key-encryption key."""
    kek_id: Mapped[str | None] = mapped_column(String(16), info=IMPERSONAL)
    """The key-encryption key that new keys are wrapped under; while it is rotated, older ones are under another.
    None until the first start of this version."""


class Ending(Row):
    """What ended with the commit that wrote this row, in favour of something new; gone once the register has it.

    It names no person, and is there for the moment between two commits, or for as long as the register fails.
    """

    __tablename__ = "endings"

    kind: Mapped[EndedKind] = mapped_column(spelled(EndedKind), primary_key=True, info=IMPERSONAL)
    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    ended_as: Mapped[str] = mapped_column(String(32), info=IMPERSONAL)
    ended_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)


class BoundTo(Row):
    """The register that this data store's keys are in: one row."""

    __tablename__ = "bound_to"

    origin_id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)


class Restored:
    """A backup that was put in the place of the data, whereby a history was left: what came after that backup."""

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    """When the backup was made."""
    sha256: Mapped[str] = mapped_column(String(64), info=IMPERSONAL)
    """Of the backup."""
    restored_at: Mapped[datetime] = mapped_column(UtcDateTime(), info=IMPERSONAL)


class Restoration(Restored, Row):
    """One that this data comes from, or that the register knew of when the data was restored."""

    __tablename__ = "restorations"


class LeftHistory(Restored, RegisterRow):
    """One that the service was started on: since then its keys are gone, and there is no way back to it."""

    __tablename__ = "left_histories"
