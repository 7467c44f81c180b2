"""Tables of the tree (in the register, for ever) and of entries (in the data store, until the subject deletes them).

No leaf is stored beside a subject's id: once it is in the tree, only the salt links the two. Before that, for at most
one interval, a copy of the data store shows which rows are as new as which leaves
(docs/reference/transparency-log.md).
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import CREDENTIAL, IMPERSONAL, SEALED_RECEIPT
from app.db.types import COUNT, STORED_BY_KEY, Row, SealedListRow, UtcDateTime, partial_index, value_enum
from app.vault.tables import RegisterRow

# --- In the register


class Tile(RegisterRow):
    """Up to 256 hashes of one level of the tree, as in C2SP tlog-tiles.

    Level 0 has the leaves, level 1 the roots of 256 leaves each, and so on. Only the last tile of a level can grow.
    """

    __tablename__ = "log_tiles"

    level: Mapped[int] = mapped_column(primary_key=True, info=IMPERSONAL)
    position: Mapped[int] = mapped_column(COUNT, primary_key=True, info=IMPERSONAL)
    hashes: Mapped[bytes] = mapped_column(LargeBinary, info=IMPERSONAL)
    guards: Mapped[bytes] = mapped_column(LargeBinary, info=IMPERSONAL)
    """At level 0, a tag for each leaf and its index, under a key of the log. It shows which leaf was changed."""


class LeafIndex(RegisterRow):
    """The index of each leaf in the tree."""

    __tablename__ = "log_leaves"
    __table_args__ = STORED_BY_KEY

    leaf: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True, info=IMPERSONAL)
    index: Mapped[int] = mapped_column("index", COUNT, info=IMPERSONAL)


class LogHead(RegisterRow):
    """Size and root of the tree after a batch."""

    __tablename__ = "log_heads"

    size: Mapped[int] = mapped_column(COUNT, primary_key=True, autoincrement=False, info=IMPERSONAL)
    root: Mapped[bytes] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    looked_at: Mapped[datetime] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    """The time of the latest batch that ended with this size; a batch can be empty."""


class OpenEntry(RegisterRow):
    """An entry about no subject (a notice, a key, a restore), with its record in plain text for audits."""

    __tablename__ = "log_open_entries"
    __table_args__ = (partial_index("open_entries_to_join", "leaf", where="NOT joined"),)

    leaf: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True, info=IMPERSONAL)
    salt: Mapped[bytes] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    record: Mapped[str] = mapped_column(Text, info=IMPERSONAL)
    joined: Mapped[bool] = mapped_column(info=IMPERSONAL)
    """Whether the leaf is in the tree."""


class KeyUse(StrEnum):
    """The use of a signing key. Each use has its own key, so that a stolen key forges one kind only."""

    RECEIPTS = "receipts"
    CHECKPOINTS = "checkpoints"
    EVENTS = "events"
    """Messages to relying parties: that a consent was given, or has ended."""


class SigningKey(RegisterRow):
    """A key pair, in force or retired. The register key that seals the private key is destroyed on retirement."""

    __tablename__ = "log_signing_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    signs: Mapped[KeyUse] = mapped_column(value_enum(KeyUse), info=IMPERSONAL)
    thumbprint: Mapped[str] = mapped_column(String(43), unique=True, info=IMPERSONAL)
    """RFC 7638."""
    public: Mapped[bytes] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=CREDENTIAL)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    """From then on it signs nothing. Its signatures stay valid."""
    stolen_at: Mapped[datetime | None] = mapped_column(UtcDateTime(), info=IMPERSONAL)
    """From then on a thief may have signed with it."""
    stolen_size: Mapped[int | None] = mapped_column(COUNT, info=IMPERSONAL)
    """The size of the log then. Receipts of this key are valid only among these leaves."""


# --- In the data store


class EntryRow(SealedListRow):
    """One entry about a subject: the record, and the salt of the leaf. The id is that of the act if it has one."""

    __tablename__ = "entries"


class ReceiptRow(SealedListRow):
    """One receipt. Its payload is the record of its leaf. The id is that of the act if it has one."""

    __tablename__ = "receipts"

    # Still the last column: exports keep the order.
    sealed: Mapped[bytes] = mapped_column(LargeBinary, sort_order=1, info=SEALED_RECEIPT)


class PendingLeaf(Row):
    """A leaf that is committed with its act, but not yet in the tree. The rows are in the order of hashes, not time."""

    __tablename__ = "pending_leaves"
    __table_args__ = (
        partial_index("open_entries_that_wait", "record", where="record IS NOT NULL"),
        STORED_BY_KEY,
    )

    leaf: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True, info=IMPERSONAL)
    salt: Mapped[bytes | None] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    """Set for an open entry only, as the record is."""
    record: Mapped[str | None] = mapped_column(Text, info=IMPERSONAL)


class SeenHead(Row):
    """The newest checkpoint that the data store has seen, in one row. It reveals an older copy of the register."""

    __tablename__ = "seen_heads"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, info=IMPERSONAL)
    size: Mapped[int] = mapped_column(COUNT, info=IMPERSONAL)
    root: Mapped[bytes] = mapped_column(LargeBinary(32), info=IMPERSONAL)
    note: Mapped[str] = mapped_column(Text, info=IMPERSONAL)
