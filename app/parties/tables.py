"""Relying parties, their purposes and keys; what they are still to be told, and what people see of that."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Date, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import CREDENTIAL, IMPERSONAL
from app.db.types import Row, spelled
from app.faces.permit import Purpose

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
