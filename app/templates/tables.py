"""Templates and kept photos. Each hangs from a grant, by a key that names its person, purpose and relying party."""

from datetime import date
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import IMPERSONAL, PERSONAL, SEALED_PHOTO, SEALED_VECTOR
from app.db.types import Row
from app.faces.permit import Purpose
from app.parties.tables import PURPOSE


class Template(Row):
    """One reference: the mean of an enrolment's features, sealed under its grant's key."""

    __tablename__ = "templates"
    __table_args__ = (
        ForeignKeyConstraint(
            ["grant_id", "subject_id", "purpose", "relying_party_id"],
            ["grants.id", "grants.subject_id", "grants.purpose", "grants.relying_party_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("purpose IN ('verification', 'identification')", name="purpose_of_a_template"),
        Index("templates_by_engine", "weights_sha256", "engine_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    grant_id: Mapped[UUID] = mapped_column(unique=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(index=True, info=PERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, info=PERSONAL)
    relying_party_id: Mapped[UUID] = mapped_column(info=PERSONAL)
    enrolment_id: Mapped[UUID] = mapped_column(index=True, info=PERSONAL)
    enrolled_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    engine_id: Mapped[str] = mapped_column(String(64), info=IMPERSONAL)
    weights_sha256: Mapped[str] = mapped_column(String(64), info=IMPERSONAL)
    key_generation: Mapped[int] = mapped_column(info=IMPERSONAL)
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_VECTOR)
    entry_id: Mapped[UUID | None] = mapped_column(Uuid(), ForeignKey("entries.id"), info=PERSONAL)
    """The entry that the log has of the enrolment. A trigger refuses a template without; older ones have none."""
    not_renewable_by: Mapped[str | None] = mapped_column(String(64), info=PERSONAL)
    """The weights of the engine that could not make a new one from the kept photos; None if none has failed."""


class EngineRow(Row):
    """An engine that was in force, by the day. Triggers refuse a template of any other, and a label that changes."""

    __tablename__ = "engines"

    weights_sha256: Mapped[str] = mapped_column(String(64), primary_key=True, info=IMPERSONAL)
    engine_id: Mapped[str] = mapped_column(String(64), info=IMPERSONAL)
    in_force_from: Mapped[date] = mapped_column(Date, info=IMPERSONAL)
    """The last time that it came into force."""
    in_force_until: Mapped[date | None] = mapped_column(Date, info=IMPERSONAL)
    """The day on which another took its place; None while it is in force."""
    templates_end_on: Mapped[date | None] = mapped_column(Date, info=IMPERSONAL)
    """The day on which its templates end; None while it is in force."""


class Photo(Row):
    """One enrolled photo, kept for renewal only: pixels and nothing else, sealed under the renewal grant's key."""

    __tablename__ = "photos"
    __table_args__ = (
        ForeignKeyConstraint(
            ["grant_id", "subject_id", "purpose"],
            ["grants.id", "grants.subject_id", "grants.purpose"],
            ondelete="CASCADE",
        ),
        CheckConstraint("purpose = 'template_renewal'", name="purpose_of_a_photo"),
        UniqueConstraint("enrolment_id", "position"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    grant_id: Mapped[UUID] = mapped_column(index=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(index=True, info=PERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, info=PERSONAL)
    enrolment_id: Mapped[UUID] = mapped_column(info=PERSONAL)
    position: Mapped[int] = mapped_column(info=IMPERSONAL)
    enrolled_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    key_generation: Mapped[int] = mapped_column(info=IMPERSONAL)
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_PHOTO)
