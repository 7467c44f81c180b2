"""Read relying parties."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from app.faces.permit import Purpose
from app.parties.tables import PartyPurpose, RelyingParty
from app.vault.authentic_rows import is_authentic

_PURPOSES = selectinload(RelyingParty.purpose_rows.and_(is_authentic(PartyPurpose)))


def get(session: Session, party_id: UUID) -> RelyingParty | None:
    """Return one relying party, revoked or not: histories of subjects still name a revoked one."""
    return session.get(RelyingParty, party_id, options=[_PURPOSES])


def list_active(session: Session, *, limit: int, after: UUID | None) -> Sequence[RelyingParty]:
    """Return the relying parties that are not revoked, by id."""
    query = select(RelyingParty).where(RelyingParty.revoked_on.is_(None)).order_by(RelyingParty.id).limit(limit)
    if after is not None:
        query = query.where(RelyingParty.id > after)
    return session.scalars(query.options(_PURPOSES)).all()


def list_all(session: Session) -> Sequence[RelyingParty]:
    """Return every relying party with its keys, by name, revoked ones too."""
    query = select(RelyingParty).order_by(RelyingParty.name)
    return session.scalars(query.options(_PURPOSES, selectinload(RelyingParty.keys))).all()


def list_recipients(session: Session, party_ids: Collection[UUID]) -> Sequence[RelyingParty]:
    """Return these relying parties by id, revoked ones too; without their purposes."""
    return session.scalars(select(RelyingParty).where(RelyingParty.id.in_(party_ids)).order_by(RelyingParty.id)).all()


def list_names(session: Session, party_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of these relying parties, revoked ones too."""
    return {party.id: party.name for party in list_recipients(session, party_ids)}


def may_ask(session: Session, party_id: UUID, purpose: Purpose) -> bool:
    """Return whether subjects can consent to this relying party for this purpose."""
    asks = (PartyPurpose.relying_party_id == party_id, PartyPurpose.purpose == purpose)
    active = select(PartyPurpose.purpose).join(RelyingParty).where(*asks, RelyingParty.revoked_on.is_(None))
    return session.scalar(active.where(is_authentic(RelyingParty), is_authentic(PartyPurpose))) is not None
