"""Relying parties, their purposes and keys; what they are still to be told, and what people see of that."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Date, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.faces.permit import Purpose
from app.kit.datamap import CREDENTIAL, IMPERSONAL, PERSONAL, SEALED_RECORD
from app.kit.db import Row, spelled
from app.parties.policy import Event

PURPOSE = spelled(Purpose)
"""A purpose, stored by its value and read back as the enum."""


class RelyingParty(Row):
    """Who asks: added by the operator, never over HTTP."""

    __tablename__ = "relying_parties"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    name: Mapped[str] = mapped_column(String(200), unique=True, info=IMPERSONAL)
    contact: Mapped[str] = mapped_column(String(500), info=IMPERSONAL)
    alternative: Mapped[str] = mapped_column(String(2000), info=IMPERSONAL)
    """The way in without a face that it offers, at no extra cost or delay."""
    context: Mapped[str | None] = mapped_column(String(2000), info=IMPERSONAL)
    """Where and for what it asks: which door, which desk."""
    legal_basis: Mapped[str | None] = mapped_column(String(2000), info=IMPERSONAL)
    """On what ground it asks, in its own words."""
    added_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)
    revoked_on: Mapped[date | None] = mapped_column(Date, info=IMPERSONAL)
    callback: Mapped[str | None] = mapped_column(String(2000), info=IMPERSONAL)
    """Where it is told of consents; None: it is not."""
    callback_id: Mapped[UUID | None] = mapped_column(info=IMPERSONAL)
    """Random, of this callback alone: when it ends that stays known, so that no restored backup brings it back."""


class PartyPurpose(Row):
    """A purpose that a relying party may ask consent for; a grant points here."""

    __tablename__ = "party_purposes"

    relying_party_id: Mapped[UUID] = mapped_column(ForeignKey("relying_parties.id"), primary_key=True, info=IMPERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, primary_key=True, info=IMPERSONAL)


class PartyKey(Row):
    """A relying party's key, known by its SHA-256 only."""

    __tablename__ = "party_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    relying_party_id: Mapped[UUID] = mapped_column(ForeignKey("relying_parties.id"), index=True, info=IMPERSONAL)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info=CREDENTIAL)
    created_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)
    ends_at: Mapped[datetime | None] = mapped_column(info=IMPERSONAL)
    """When it ends beside the key that took its place; None while it is not replaced."""


class Message(Row):
    """What a relying party is still to be told; gone once it is settled.

    It outlives its person: that a consent has ended is told also, and above all, when they are gone. There is one for
    each reference and purpose at most: what is true now is told, never what was. Its rows lie by their random ids: none
    of time.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("relying_party_id", "subject_ref", "purpose"),
        {"sqlite_with_rowid": False},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    """The same at each try, so that the recipient knows it again (`jti`)."""
    subject_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("subjects.id", ondelete="SET NULL"), index=True, info=PERSONAL
    )
    """Whom it is about, until they are erased: the database itself forgets it with them."""
    erasure_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("erasures.id", ondelete="SET NULL"), index=True, info=IMPERSONAL
    )
    """The erasure that names it under `kept`, until it is settled."""
    relying_party_id: Mapped[UUID] = mapped_column(ForeignKey("relying_parties.id"), info=PERSONAL)
    event: Mapped[Event] = mapped_column(spelled(Event, length=16), info=PERSONAL)
    subject_ref: Mapped[str] = mapped_column(String(64), info=PERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, info=PERSONAL)
    made_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    attempts: Mapped[int] = mapped_column(info=IMPERSONAL)
    """How often it was sent. When it is sent again is kept in memory only: no time finer than the day is here."""


class Delivery(Row):
    """One event that a relying party was to be told of, as its person sees it; sealed under their key."""

    __tablename__ = "deliveries"
    __table_args__ = (UniqueConstraint("subject_id", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    """That of the message."""
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    position: Mapped[int] = mapped_column(info=PERSONAL)
    """1 for the person's first, and so on."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)
