"""Read relying parties: as everyone sees them, and as the operator sees them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.faces.permit import Purpose
from app.parties.tables import PartyKey, PartyPurpose, RelyingParty


@dataclass(frozen=True, slots=True)
class PublicParty:
    """A relying party as everyone sees it."""

    relying_party_id: UUID
    name: str
    contact: str
    purposes: list[Purpose]
    alternative: str
    context: str | None
    """Where and for what it compares faces; None if the operator has not stated it."""
    legal_basis: str | None
    """Its legal basis; None if the operator has not stated it."""


@dataclass(frozen=True, slots=True)
class KeyDates:
    """The dates of a relying party's key; the key itself cannot be read."""

    created_on: date
    ends_at: datetime | None
    """When the overlap with its successor ends; None if it has no successor."""


@dataclass(frozen=True, slots=True)
class PartyForOperator:
    """A relying party as the operator sees it."""

    party: PublicParty
    added_on: date
    revoked_on: date | None
    keys: Sequence[KeyDates]


def public_view(session: Session, party: RelyingParty) -> PublicParty:
    """Return a relying party as everyone sees it."""
    purposes = session.scalars(select(PartyPurpose.purpose).where(PartyPurpose.relying_party_id == party.id))
    return PublicParty(
        relying_party_id=party.id,
        name=party.name,
        contact=party.contact,
        purposes=sorted(purposes),
        alternative=party.alternative,
        context=party.context,
        legal_basis=party.legal_basis,
    )


def get(session: Session, party_id: UUID) -> PublicParty | None:
    """Return one relying party, revoked or not: histories of subjects still name a revoked one."""
    party = session.get(RelyingParty, party_id)
    return None if party is None else public_view(session, party)


def list_active(session: Session, *, limit: int, after: UUID | None) -> Sequence[PublicParty]:
    """Return the relying parties that are not revoked, by id."""
    query = select(RelyingParty).where(RelyingParty.revoked_on.is_(None)).order_by(RelyingParty.id).limit(limit)
    if after is not None:
        query = query.where(RelyingParty.id > after)
    return [public_view(session, party) for party in session.scalars(query)]


def list_all(session: Session) -> list[PartyForOperator]:
    """Return every relying party by name, revoked ones too."""
    return [
        _operator_view(session, party) for party in session.scalars(select(RelyingParty).order_by(RelyingParty.name))
    ]


def _operator_view(session: Session, party: RelyingParty) -> PartyForOperator:
    keys = select(PartyKey).where(PartyKey.relying_party_id == party.id).order_by(PartyKey.created_on, PartyKey.id)
    return PartyForOperator(
        party=public_view(session, party),
        added_on=party.added_on,
        revoked_on=party.revoked_on,
        keys=[KeyDates(key.created_on, key.ends_at) for key in session.scalars(keys)],
    )


def list_recipients(session: Session, party_ids: Collection[UUID]) -> Sequence[RelyingParty]:
    """Return these relying parties by id, revoked ones too."""
    return session.scalars(select(RelyingParty).where(RelyingParty.id.in_(party_ids)).order_by(RelyingParty.id)).all()


def list_names(session: Session, party_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of these relying parties, revoked ones too."""
    return {party.id: party.name for party in list_recipients(session, party_ids)}


def may_ask(session: Session, party_id: UUID, purpose: Purpose) -> bool:
    """Return whether subjects can consent to this relying party for this purpose."""
    asks = (PartyPurpose.relying_party_id == party_id, PartyPurpose.purpose == purpose)
    active = select(PartyPurpose.purpose).join(RelyingParty).where(*asks, RelyingParty.revoked_on.is_(None))
    return session.scalar(active) is not None
