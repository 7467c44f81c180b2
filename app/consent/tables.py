"""Tables of notices, grants, consent events and proofs."""

from datetime import date, datetime
from uuid import UUID, uuid4

from pydantic import JsonValue
from sqlalchemy import (
    JSON,
    CheckConstraint,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import IMPERSONAL, PERSONAL
from app.db.types import STORED_BY_KEY, Row, SealedListRow, partial_index
from app.faces.permit import Purpose
from app.parties.tables import PURPOSE
from app.vault.authentic_rows import AuthenticRow


class Notice(AuthenticRow, Row):
    """The text that subjects read before they decide; stored unchanged for ever."""

    __tablename__ = "notices"
    signed_since = "0012"
    __table_args__ = (UniqueConstraint("purpose", "language", "version"),)

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True, info=IMPERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, info=IMPERSONAL)
    language: Mapped[str] = mapped_column(String(16), info=IMPERSONAL)
    version: Mapped[int] = mapped_column(info=IMPERSONAL)
    published_at: Mapped[datetime] = mapped_column(info=IMPERSONAL)
    body: Mapped[bytes] = mapped_column(LargeBinary, info=IMPERSONAL)
    template: Mapped[bytes | None] = mapped_column(LargeBinary, info=IMPERSONAL)
    """The text with its placeholders. A trigger refuses a new notice without it, and without its facts."""
    facts: Mapped[dict[str, JsonValue] | None] = mapped_column(JSON(none_as_null=True), info=IMPERSONAL)
    """Values of the facts that the notice depends on (`app/consent/facts.py`)."""


class RetiredNotice(Row):
    """A notice on which no new consent can be given; a trigger refuses the grant. The next version is not retired."""

    __tablename__ = "retired_notices"

    sha256: Mapped[str] = mapped_column(ForeignKey("notices.sha256"), primary_key=True, info=IMPERSONAL)
    retired_at: Mapped[datetime] = mapped_column(info=IMPERSONAL)


class Grant(AuthenticRow, Row):
    """A consent in force. Ending it deletes the row; foreign keys delete the dependent rows.

    The unique keys are targets of foreign keys: a dependent row repeats the grant's subject, purpose and relying party,
    so it cannot depend on a grant with other values.
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
        partial_index("one_renewal_grant_each", "subject_id", unique=True, where="relying_party_id IS NULL"),
        Index("grants_by_end", "valid_until"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, info=PERSONAL)
    relying_party_id: Mapped[UUID | None] = mapped_column(info=PERSONAL)
    subject_ref: Mapped[str | None] = mapped_column(String(64), info=PERSONAL)
    notice_sha256: Mapped[str] = mapped_column(ForeignKey("notices.sha256"), info=PERSONAL)
    valid_until: Mapped[datetime] = mapped_column(info=PERSONAL)
    matching_period_id: Mapped[UUID | None] = mapped_column("spell_id", default=uuid4, info=PERSONAL)
    """Random id of the current matching period; None while the subject disputes a comparison. A pause ends the period
    for good, so that a consent restored from an older backup is paused too."""

    @property
    def consent_id(self) -> UUID:
        """The grant's id, under its public name."""
        return self.id

    @property
    def paused(self) -> bool:
        """Whether matching is paused because the subject disputes a comparison."""
        return self.matching_period_id is None


class ConsentEventRow(SealedListRow):
    """A consent event, sealed under the subject's key; a trigger refuses every update."""

    __tablename__ = "consent_events"


class ConsentProof(Row):
    """Proof that a consent existed, for holders of its id. Rows are stored by digest, so they have no order of time."""

    __tablename__ = "consent_proofs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["relying_party_id", "purpose"], ["party_purposes.relying_party_id", "party_purposes.purpose"]
        ),
        Index("proofs_by_end", "ended_on"),
        STORED_BY_KEY,
    )

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True, info=IMPERSONAL)
    """SHA-256 of the consent's random id: see `proofs.digest`."""
    notice_sha256: Mapped[str] = mapped_column(ForeignKey("notices.sha256"), info=IMPERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, info=IMPERSONAL)
    relying_party_id: Mapped[UUID | None] = mapped_column(info=IMPERSONAL)
    given_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)
    ended_on: Mapped[date | None] = mapped_column(Date, info=IMPERSONAL)
    """None while the consent is in force."""
