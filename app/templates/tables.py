"""Templates and kept photos. A foreign key binds each to its grant, with the subject, purpose and relying party."""

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
    """One reference, sealed under its grant's key: the mean of the features of an enrolment's photos."""

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
    """Entry of the transparency log about the enrolment or renewal. A trigger refuses a new template without one."""
    not_renewable_by: Mapped[str | None] = mapped_column(String(64), info=PERSONAL)
    """Weights hash of the engine that could not use the kept photos; None if no engine has failed."""


class EngineRow(Row):
    """An engine that is or was in force. Triggers refuse a template of another engine, and a change of a label."""

    __tablename__ = "engines"

    weights_sha256: Mapped[str] = mapped_column(String(64), primary_key=True, info=IMPERSONAL)
    engine_id: Mapped[str] = mapped_column(String(64), info=IMPERSONAL)
    in_force_from: Mapped[date] = mapped_column(Date, info=IMPERSONAL)
    """Day on which it last came into force."""
    in_force_until: Mapped[date | None] = mapped_column(Date, info=IMPERSONAL)
    """Day on which another engine superseded it; None while it is in force."""
    templates_end_on: Mapped[date | None] = mapped_column(Date, info=IMPERSONAL)
    """Day on which its templates end; None while it is in force."""


class Photo(Row):
    """One enrolled photo, kept only for renewal: a JPEG without metadata, sealed under the renewal grant's key."""

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
