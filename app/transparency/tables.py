"""What the register keeps of the log for ever, and what the data store keeps of its entries while their people like.

No leaf stands beside a person, and once it is in the tree nothing ties it to one but the salt. Until then, for one
interval at most, a copy of the data shows which rows are as new as which leaves (docs/reference/transparency-log.md).
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import CREDENTIAL, IMPERSONAL, PERSONAL, SEALED_RECEIPT, SEALED_RECORD
from app.db.types import Row, UtcDateTime, value_enum
from app.vault.tables import RegisterRow

# --- In the register


class Tile(RegisterRow):
    """Up to 256 hashes of one level of the tree, as in C2SP tlog-tiles.

    Level 0 holds leaves, level 1 the roots of 256 leaves each, and so on. Only the last tile of a level is not full; it
    grows in its place.
    """

    __tablename__ = "log_tiles"

    level: Mapped[int] = mapped_column(primary_key=True, info=IMPERSONAL)
    position: Mapped[int] = mapped_column(primary_key=True, info=IMPERSONAL)
    hashes: Mapped[bytes] = mapped_column(LargeBinary, info=IMPERSONAL)
    guards: Mapped[bytes] = mapped_column(LargeBinary, info=IMPERSONAL)
    """At level 0, for each leaf a tag over it and its index, under a key of the log: it tells which one was changed."""


class LeafIndex(RegisterRow):
    """At which index of the tree a leaf is."""

    __tablename__ = "log_leaves"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy reads a plain dict

    leaf: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True, info=IMPERSONAL)
    index: Mapped[int] = mapped_column("index", Integer, info=IMPERSONAL)


class LogHead(RegisterRow):
    """Size and root of the tree after a batch."""

    __tablename__ = "log_heads"

    size: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, info=IMPERSONAL)
    root: Mapped[bytes] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    looked_at: Mapped[datetime] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    """When the latest batch was due that found this size; a batch can add nothing."""


class OpenEntry(RegisterRow):
    """An entry about nobody (a notice, a key, a restore): its record is there for whoever audits the log."""

    __tablename__ = "log_open_entries"
    __table_args__ = (Index("open_entries_to_join", "leaf", sqlite_where=text("NOT joined")),)

    leaf: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True, info=IMPERSONAL)
    salt: Mapped[bytes] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    record: Mapped[str] = mapped_column(Text, info=IMPERSONAL)
    joined: Mapped[bool] = mapped_column(info=IMPERSONAL)
    """Whether its leaf is in the tree."""


class KeyUse(StrEnum):
    """What a key signs. A key for each, so that whoever steals one cannot do with it what another does."""

    RECEIPTS = "receipts"
    CHECKPOINTS = "checkpoints"
    EVENTS = "events"
    """What relying parties are told: that a consent to them was given, or has ended."""


class SigningKey(RegisterRow):
    """A key pair that signs or signed. The private key is sealed under a key of its own, which goes when it retires."""

    __tablename__ = "log_signing_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    signs: Mapped[KeyUse] = mapped_column(value_enum(KeyUse), info=IMPERSONAL)
    thumbprint: Mapped[str] = mapped_column(String(43), unique=True, info=IMPERSONAL)
    """RFC 7638, of the public key."""
    public: Mapped[bytes] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=CREDENTIAL)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    """Since then it signs nothing; what it signed holds."""
    stolen_at: Mapped[datetime | None] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    """Since then somebody else may have signed with it."""
    stolen_size: Mapped[int | None] = mapped_column(info=IMPERSONAL)
    """The size of the log then: what it signed holds only if it is among these."""


# --- In the data store


class EntryRow(Row):
    """One entry about a person, sealed under their key: its record, and the salt of its leaf."""

    __tablename__ = "entries"
    __table_args__ = (UniqueConstraint("subject_id", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    """That of the act, where it has one: of a comparison."""
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    position: Mapped[int] = mapped_column(info=PERSONAL)
    """1 for the person's first entry without a receipt, and so on."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)


class ReceiptRow(Row):
    """One receipt, sealed under its person's key: what it says is the record of its entry."""

    __tablename__ = "receipts"
    __table_args__ = (UniqueConstraint("subject_id", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    """That of the act, where it has one: of a consent event."""
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    position: Mapped[int] = mapped_column(info=PERSONAL)
    """1 for the person's first receipt, and so on."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECEIPT)


class PendingLeaf(Row):
    """A leaf that has committed with its act and is not in the tree yet. Its rows lie by their hashes: none of time."""

    __tablename__ = "pending_leaves"
    __table_args__ = (
        Index("open_entries_that_wait", "record", sqlite_where=text("record IS NOT NULL")),
        {"sqlite_with_rowid": False},
    )

    leaf: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True, info=IMPERSONAL)
    salt: Mapped[bytes | None] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    """Only of an entry about nobody, as is its record."""
    record: Mapped[str | None] = mapped_column(Text, info=IMPERSONAL)


class SeenHead(Row):
    """The latest checkpoint of the log that this data goes with: one row. It tells an older copy of the register."""

    __tablename__ = "seen_heads"

    id: Mapped[int] = mapped_column(primary_key=True, info=IMPERSONAL)
    size: Mapped[int] = mapped_column(info=IMPERSONAL)
    root: Mapped[bytes] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    note: Mapped[str] = mapped_column(Text, info=IMPERSONAL)
