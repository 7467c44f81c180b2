"""Who consents to what now: for the person, and for a relying party."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.consent import events, proofs
from app.consent.permits import live
from app.consent.tables import ConsentProof, Grant
from app.faces.permit import Purpose
from app.vault.seal import Key


def in_force(session: Session, *, subject_id: UUID, now: datetime) -> Sequence[Grant]:
    """Return the person's consents in force."""
    mine = select(Grant).where(Grant.subject_id == subject_id, Grant.valid_until > now)
    return session.scalars(mine.order_by(Grant.purpose, Grant.id)).all()


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person ever decided about, in force or not."""

    relying_party_ids: set[UUID]
    proofs: Sequence[tuple[UUID, ConsentProof]]
    """Of each consent that they gave: its id, and the proof that is kept of it."""


def decided(session: Session, key: Key, *, subject_id: UUID) -> Decided:
    """Return the relying parties of all of the person's decisions, and the proofs of their consents."""
    known = [event for _, event in events.of(session, key, subject_id=subject_id)]
    parties = {event.relying_party_id for event in known if event.relying_party_id is not None}
    return Decided(parties, proofs.of(session, {event.consent_id for event in known}))


def references(
    session: Session, *, relying_party_id: UUID, now: datetime, limit: int, after: str | None
) -> Sequence[tuple[str, list[Purpose]]]:
    """Return the references that consent to the party now, in their own order, each with its purposes."""
    to_party = (live(now), Grant.relying_party_id == relying_party_id, Grant.subject_ref > (after or ""))
    page = select(Grant.subject_ref).where(*to_party).distinct().order_by(Grant.subject_ref).limit(limit)
    rows = session.execute(
        select(Grant.subject_ref, Grant.purpose)
        .where(*to_party, Grant.subject_ref.in_(page))
        .order_by(Grant.subject_ref, Grant.purpose)
    )
    return [
        (str(reference), [row.purpose for row in group])
        for reference, group in groupby(rows, key=lambda row: row.subject_ref)
    ]
