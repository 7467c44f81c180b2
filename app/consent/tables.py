"""Notices, grants and consent events."""

from datetime import date, datetime
from uuid import UUID, uuid4

from sqlalchemy import (
    CheckConstraint,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import IMPERSONAL, PERSONAL, SEALED_RECORD
from app.db.types import Row
from app.faces.permit import Purpose
from app.parties.tables import PURPOSE


class Notice(Row):
    """A text that people read before they decide; kept for ever as it was read."""

    __tablename__ = "notices"
    __table_args__ = (UniqueConstraint("purpose", "language", "version"),)

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True, info=IMPERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, info=IMPERSONAL)
    language: Mapped[str] = mapped_column(String(16), info=IMPERSONAL)
    version: Mapped[int] = mapped_column(info=IMPERSONAL)
    published_at: Mapped[datetime] = mapped_column(info=IMPERSONAL)
    body: Mapped[bytes] = mapped_column(LargeBinary, info=IMPERSONAL)


class Grant(Row):
    """A consent in force. Ending it deletes the row, and the database takes what hangs from it.

    The unique keys are there for foreign keys to point at: a row that hangs from a grant names the grant's person,
    purpose and relying party too, and cannot hang from a grant that says otherwise.
    """

    __tablename__ = "grants"
    __table_args__ = (
        ForeignKeyConstraint(
            ["relying_party_id", "purpose"], ["party_purposes.relying_party_id", "party_purposes.purpose"]
        ),
        UniqueConstraint("id", "subject_id", "purpose"),
        UniqueConstraint("id", "subject_id", "purpose", "relying_party_id"),
        UniqueConstraint("relying_party_id", "subject_ref", "purpose"),
        CheckConstraint(
            "(purpose = 'template_renewal') = (relying_party_id IS NULL)"
            " AND (relying_party_id IS NULL) = (subject_ref IS NULL)",
            name="party_by_purpose",
        ),
        Index("one_grant_each", "subject_id", "purpose", "relying_party_id", unique=True),
        Index(
            "one_renewal_grant_each",
            "subject_id",
            unique=True,
            sqlite_where=text("relying_party_id IS NULL"),
        ),
        Index("grants_by_end", "valid_until"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, info=PERSONAL)
    relying_party_id: Mapped[UUID | None] = mapped_column(info=PERSONAL)
    subject_ref: Mapped[str | None] = mapped_column(String(64), info=PERSONAL)
    notice_sha256: Mapped[str] = mapped_column(ForeignKey("notices.sha256"), info=PERSONAL)
    valid_until: Mapped[datetime] = mapped_column(info=PERSONAL)
    spell_id: Mapped[UUID | None] = mapped_column(default=uuid4, info=PERSONAL)
    """The spell of matching that it is in, at random; None while its person disputes a comparison. As a person's: it
    ends for good, so that a restored backup that still has it is paused too."""


class ConsentEventRow(Row):
    """A consent event, sealed under the person's key; a trigger refuses every update."""

    __tablename__ = "consent_events"
    __table_args__ = (UniqueConstraint("subject_id", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    position: Mapped[int] = mapped_column(info=PERSONAL)
    """1 for the person's first event, and so on."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)


class ConsentProof(Row):
    """That a consent existed, for whoever holds its id. Its rows lie in the order of their digests: none of time."""

    __tablename__ = "consent_proofs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["relying_party_id", "purpose"], ["party_purposes.relying_party_id", "party_purposes.purpose"]
        ),
        Index("proofs_by_end", "ended_on"),
        {"sqlite_with_rowid": False},
    )

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True, info=IMPERSONAL)
    """SHA-256 of the consent's random id: see `proofs.digest`."""
    notice_sha256: Mapped[str] = mapped_column(ForeignKey("notices.sha256"), info=IMPERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, info=IMPERSONAL)
    relying_party_id: Mapped[UUID | None] = mapped_column(info=IMPERSONAL)
    given_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)
    ended_on: Mapped[date | None] = mapped_column(Date, info=IMPERSONAL)
    """None while the consent is in force."""
