"""Who consents to what now: for the person, and for a relying party."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.consent import events
from app.consent.permits import live
from app.consent.tables import Grant
from app.faces.permit import Purpose
from app.vault.seal import Key


def in_force(session: Session, *, subject_id: UUID, now: datetime) -> Sequence[Grant]:
    """Return the person's consents in force."""
    mine = select(Grant).where(Grant.subject_id == subject_id, Grant.valid_until > now)
    return session.scalars(mine.order_by(Grant.purpose, Grant.id)).all()


def parties_decided_on(session: Session, key: Key, *, subject_id: UUID) -> set[UUID]:
    """Return every relying party that the person ever decided about, in force or not."""
    decided = events.of(session, key, subject_id=subject_id)
    return {event.relying_party_id for _, event in decided if event.relying_party_id is not None}


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
