"""Who consents to what now: for the person, and for a relying party."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.consent import events, proofs
from app.consent.permits import live
from app.consent.tables import ConsentProof, Grant
from app.db.sqlite.prepared import Prepared, Statements
from app.faces.permit import Purpose
from app.vault.seal import Key


class GrantView(NamedTuple):
    """A consent in force."""

    id: UUID
    purpose: Purpose
    relying_party_id: UUID | None
    subject_ref: str | None
    notice_sha256: str
    valid_until: datetime
    spell_id: UUID | None

    @property
    def paused(self) -> bool:
        """Say whether nobody is matched on it, since its person disputes a comparison."""
        return self.spell_id is None


_IN_FORCE = Prepared(
    select(*(getattr(Grant, name) for name in GrantView._fields))
    .where(Grant.subject_id == bindparam("subject_id"), Grant.valid_until > bindparam("now"))
    .order_by(Grant.purpose, Grant.id)
)


def view(grant: Grant) -> GrantView:
    """Return a consent as it is shown."""
    return GrantView(*(getattr(grant, name) for name in GrantView._fields))


def in_force(reading: Statements, *, subject_id: UUID, now: datetime) -> Sequence[GrantView]:
    """Return the person's consents in force."""
    return [GrantView(*row) for row in reading.all(_IN_FORCE, subject_id=subject_id, now=now)]


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
