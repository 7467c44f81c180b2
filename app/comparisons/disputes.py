"""Disputes: the subject reports that a comparison was not them, which pauses matching for its relying party.

The subject can add a note. It is sealed under their key; the controller reads it to investigate.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.comparisons.history import COMPARISONS
from app.comparisons.tables import Dispute
from app.consent import pause
from app.faces.permit import Purpose
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.kit.errors import NotFoundError
from app.settings import Settings
from app.subjects import daily_receipts
from app.subjects import service as subjects
from app.transparency.verify.bundle import Bundle
from app.vault.ending import ends
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import Key, SealError
from app.vault.sealed_list import SealedRecord
from app.vault.vault import Vault
from app.web.callers import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeRecord:
    """The sealed content of a dispute."""

    relying_party_id: UUID
    purpose: Purpose
    compared_at: datetime
    note: str | None


_DISPUTES = SealedRecord(Dispute, DisputeRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeState:
    """The state of a comparison after it was disputed, or after the dispute was lifted."""

    comparison_id: UUID
    disputed: bool
    paused: bool
    """Whether matching for the relying party is paused."""
    note: str | None
    receipt: Bundle | None
    """None if nothing changed."""


@operation("dispute")
@ends
def dispute(
    vault: Vault, *, by: Principal, comparison_id: UUID, note: str | None, settings: Settings, clock: Clock
) -> DisputeState:
    """Dispute a comparison and pause matching for its relying party.

    Repeating it is harmless and gives no receipt; a new note replaces the old one.

    Raises:
        NotFoundError: the subject has no such comparison.
    """
    with vault.change() as change:
        session, now = change.session, clock()
        subjects.get(session, by.id, token_id=by.token_id)
        key = subjects.key(vault, by.id)
        known, record = _find(session, key, subject_id=by.id, comparison_id=comparison_id)
        if note is not None:
            record = replace(record, note=note)
        if record != known:
            _put(session, key, record, subject_id=by.id, comparison_id=comparison_id, on=now.date())
        paused = pause.pause(
            change, subject_id=by.id, relying_party_id=record.relying_party_id, purpose=record.purpose, now=now
        )
        receipt = None
        if not known:
            receipt = subjects.issue_right_receipt(session, vault, by.id, "dispute", settings=settings, now=now)
    return DisputeState(comparison_id=comparison_id, disputed=True, paused=paused, note=record.note, receipt=receipt)


def lift(
    session: Session, vault: Vault, *, by: Principal, comparison_id: UUID, settings: Settings, now: datetime
) -> DisputeState:
    """Lift a dispute; lifting the last one for a relying party resumes matching. Repeating it is harmless.

    It also ends a pause whose dispute is not in the data because an older backup was restored.

    Raises:
        NotFoundError: the subject has no such comparison, and no dispute of one.
        TooManyDecisionsError: the subject has all receipts of the day.
    """
    subjects.get(session, by.id, token_id=by.token_id)
    key = subjects.key(vault, by.id)
    known, record = _find(session, key, subject_id=by.id, comparison_id=comparison_id)
    party_id, purpose = record.relying_party_id, record.purpose
    session.execute(delete(Dispute).where(Dispute.id == comparison_id, Dispute.subject_id == by.id))
    others = [
        _DISPUTES.open(key, row.id, row.sealed)
        for row in session.scalars(select(Dispute).where(Dispute.subject_id == by.id))
    ]
    is_last = (party_id, purpose) not in {(other.relying_party_id, other.purpose) for other in others}
    resumed = is_last and pause.resume(session, subject_id=by.id, relying_party_id=party_id, purpose=purpose)
    receipt = None
    if known is not None or resumed:
        daily_receipts.refuse_beyond(session, key, subject_id=by.id, settings=settings, now=now)
        receipt = subjects.issue_right_receipt(
            session, vault, by.id, "dispute_lifted", settings=settings, now=now, own=key
        )
    paused = pause.is_paused(session, subject_id=by.id, relying_party_id=party_id, purpose=purpose)
    return DisputeState(comparison_id=comparison_id, disputed=False, paused=paused, note=None, receipt=receipt)


def disputed_ids(session: Session, subject_id: UUID) -> set[UUID]:
    """Return the ids of the comparisons that the subject disputes."""
    return set(session.scalars(select(Dispute.id).where(Dispute.subject_id == subject_id)))


@dataclass(frozen=True, slots=True)
class OpenDispute:
    """A dispute as the controller reads it, without the subject."""

    comparison_id: UUID
    disputed_on: date
    record: DisputeRecord | None
    """None if it does not open because its subject is being erased."""


def list_disputes(vault: Vault) -> list[OpenDispute]:
    """Return all disputes, the oldest first."""
    with vault.data.read() as session:
        rows = session.scalars(select(Dispute).order_by(Dispute.disputed_on, Dispute.id)).all()
    return [OpenDispute(row.id, row.disputed_on, _try_open(vault, row)) for row in rows]


def _try_open(vault: Vault, row: Dispute) -> DisputeRecord | None:
    try:
        return _DISPUTES.open(vault.register.key(Owner.subject(row.subject_id)), row.id, row.sealed)
    except (KeyGoneError, SealError):
        return None


def _find(
    session: Session, key: Key, *, subject_id: UUID, comparison_id: UUID
) -> tuple[DisputeRecord | None, DisputeRecord]:
    """Return the dispute of a comparison if there is one, and the dispute to write.

    Raises:
        NotFoundError: the subject has no such comparison, and no dispute of one.
    """
    known = _DISPUTES.find(session, key, row_id=comparison_id, subject_id=subject_id)
    if known is not None:
        return known, known
    compared = COMPARISONS.find(session, key, row_id=comparison_id, subject_id=subject_id)
    if compared is None:
        raise NotFoundError
    return None, DisputeRecord(
        relying_party_id=compared.relying_party_id, purpose=compared.purpose, compared_at=compared.at, note=None
    )


def _put(session: Session, key: Key, record: DisputeRecord, *, subject_id: UUID, comparison_id: UUID, on: date) -> None:
    row = session.get(Dispute, comparison_id)
    if row is None:
        row = Dispute(id=comparison_id, subject_id=subject_id, disputed_on=on)
        session.add(row)
    row.sealed = _DISPUTES.seal(key, comparison_id, record)
