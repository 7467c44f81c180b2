"""Read consents: for the subject, and for a relying party."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.consent import events, proofs
from app.consent.tables import ConsentProof, Grant
from app.faces.permit import Purpose
from app.subjects import service as subjects
from app.vault.authentic_rows import is_authentic
from app.vault.seal import Key


def find_grant(session: Session, subject_id: UUID, purpose: Purpose, relying_party_id: UUID | None) -> Grant | None:
    """Return the subject's consent for a purpose and a relying party (None: the controller), paused or not."""
    mine = (Grant.subject_id == subject_id, Grant.purpose == purpose)
    return session.scalar(select(Grant).where(*mine, Grant.relying_party_id.is_not_distinct_from(relying_party_id)))


def list_in_force(session: Session, *, subject_id: UUID, now: datetime) -> Sequence[Grant]:
    """Return the subject's consents in force, paused ones too."""
    grants = select(Grant).where(Grant.subject_id == subject_id, Grant.valid_until > now)
    return session.scalars(grants.order_by(Grant.purpose, Grant.id)).all()


def find_past_decisions(
    session: Session, key: Key, *, subject_id: UUID
) -> tuple[set[UUID], Sequence[tuple[UUID, ConsentProof]]]:
    """Return the relying parties of all the subject's decisions, and each consent that has a proof, with the proof."""
    past = [entry.record for entry in events.EVENTS.list_newest_first(session, key, subject_id=subject_id)]
    parties = {event.relying_party_id for event in past if event.relying_party_id is not None}
    return parties, proofs.list_proofs(session, {event.consent_id for event in past})


def list_references(
    session: Session, *, relying_party_id: UUID, now: datetime, limit: int, after: str | None
) -> Sequence[tuple[str, list[Purpose]]]:
    """Return the references that consent to the relying party now, in their own order, with their purposes.

    Consents that are restricted or paused are among them: their absence would tell the relying party why (law 9).
    """
    standing = (Grant.valid_until > now, Grant.subject_id.not_in(subjects.erasing_subject_ids()), is_authentic(Grant))
    to_party = (*standing, Grant.relying_party_id == relying_party_id, Grant.subject_ref > (after or ""))
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
