"""A person says of a comparison that it was not them, and matching for that relying party pauses until they lift it.

The note that they may add is theirs, sealed under their key; the controller reads it, to look into what happened.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.comparisons import history
from app.comparisons.tables import Dispute
from app.consent import pause
from app.faces.permit import Purpose
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.kit.errors import NotFoundError
from app.kit.json import written
from app.subjects import service as subjects
from app.transparency.verify.bundle import Bundle
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import Key, SealError
from app.vault.sealing_context import place
from app.vault.vault import Change, Vault
from app.web.auth import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """What is disputed, and what the person says of it."""

    relying_party_id: UUID
    purpose: Purpose
    compared_at: datetime
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it is now."""

    disputed: bool
    paused: bool
    """Whether the relying party can have nobody matched on that consent."""
    note: str | None
    receipt: Bundle | None
    """None if it was so already."""


@operation("dispute")
def dispute(vault: Vault, *, by: Principal, comparison_id: UUID, note: str | None, tell_time: Clock) -> Outcome:
    """Say of a comparison that it was not the person, and pause matching for its relying party, now.

    To repeat it is harmless, gives no receipt, and replaces the note if there is a new one.

    Raises:
        NotFoundError: the person has no such comparison.
    """
    with vault.change() as change:
        session, now = change.session, tell_time()
        subjects.get(session, by.id, token_id=by.token_id)
        key = subjects.key(vault, by.id)
        known = _find(session, key, subject_id=by.id, comparison_id=comparison_id)
        told = known or _of_line(session, key, subject_id=by.id, comparison_id=comparison_id)
        if note is not None:
            told = replace(told, note=note)
        if told != known:
            _put(session, key, subject_id=by.id, comparison_id=comparison_id, told=told, on=now.date())
        paused = _pause(change, by.id, told, now)
        receipt = None if known else subjects.issue_right_receipt(session, vault, by.id, "dispute", now=now)
    return Outcome(disputed=True, paused=paused, note=told.note, receipt=receipt)


def _pause(change: Change, subject_id: UUID, told: Disputed, now: datetime) -> bool:
    return pause.pause(
        change, subject_id=subject_id, relying_party_id=told.relying_party_id, purpose=told.purpose, now=now
    )


def lift(session: Session, vault: Vault, *, by: Principal, comparison_id: UUID, now: datetime) -> Outcome:
    """Take a dispute back; with the last one for a relying party, matching goes on. To repeat it is harmless.

    It also lifts a pause of which the dispute was lost with data that was replaced by an older backup.

    Raises:
        NotFoundError: the person has no such comparison, and no dispute of one.
    """
    subjects.get(session, by.id, token_id=by.token_id)
    key = subjects.key(vault, by.id)
    known = _find(session, key, subject_id=by.id, comparison_id=comparison_id)
    told = known or _of_line(session, key, subject_id=by.id, comparison_id=comparison_id)
    session.execute(delete(Dispute).where(Dispute.id == comparison_id, Dispute.subject_id == by.id))
    others = [one for _, one in _mine(session, key, by.id) if _same(one, told)]
    resumed = not others and pause.resume(
        session, subject_id=by.id, relying_party_id=told.relying_party_id, purpose=told.purpose
    )
    changed = known is not None or resumed
    receipt = subjects.issue_right_receipt(session, vault, by.id, "dispute_lifted", now=now) if changed else None
    paused = pause.is_paused(session, subject_id=by.id, relying_party_id=told.relying_party_id, purpose=told.purpose)
    return Outcome(disputed=False, paused=paused, note=None, receipt=receipt)


def _same(one: Disputed, other: Disputed) -> bool:
    return (one.relying_party_id, one.purpose) == (other.relying_party_id, other.purpose)


def _of_line(session: Session, key: Key, *, subject_id: UUID, comparison_id: UUID) -> Disputed:
    line = history.find(session, key, subject_id=subject_id, comparison_id=comparison_id)
    if line is None:
        raise NotFoundError
    return Disputed(relying_party_id=line.relying_party_id, purpose=line.purpose, compared_at=line.at, note=None)


def _find(session: Session, key: Key, *, subject_id: UUID, comparison_id: UUID) -> Disputed | None:
    row = session.get(Dispute, comparison_id)
    return None if row is None or row.subject_id != subject_id else _opened(key, row)


def _mine(session: Session, key: Key, subject_id: UUID) -> list[tuple[UUID, Disputed]]:
    rows = session.scalars(select(Dispute).where(Dispute.subject_id == subject_id))
    return [(row.id, _opened(key, row)) for row in rows]


def disputed_ids(session: Session, subject_id: UUID) -> set[UUID]:
    """Return which comparisons the person disputes."""
    return set(session.scalars(select(Dispute.id).where(Dispute.subject_id == subject_id)))


@dataclass(frozen=True, slots=True)
class Open:
    """A dispute as the controller reads it: about a comparison and a relying party, and of nobody by name."""

    comparison_id: UUID
    disputed_on: date
    told: Disputed | None
    """None if it does not open: its person is being erased."""


def every(vault: Vault) -> list[Open]:
    """Return every dispute there is, the oldest first."""
    with vault.data.read() as session:
        rows = session.scalars(select(Dispute).order_by(Dispute.disputed_on, Dispute.id)).all()
    return [Open(row.id, row.disputed_on, _read(vault, row)) for row in rows]


def _read(vault: Vault, row: Dispute) -> Disputed | None:
    try:
        return _opened(vault.register.key(Owner.subject(row.subject_id)), row)
    except (KeyGoneError, SealError):
        return None


def _put(session: Session, key: Key, *, subject_id: UUID, comparison_id: UUID, told: Disputed, on: date) -> None:
    plain = json.dumps(asdict(told), default=written).encode()
    row = session.get(Dispute, comparison_id)
    if row is None:
        row = Dispute(id=comparison_id, subject_id=subject_id, disputed_on=on, sealed=b"")
        session.add(row)
    row.sealed = key.seal(plain, place(Dispute.sealed, comparison_id))


def _opened(key: Key, row: Dispute) -> Disputed:
    fields = json.loads(key.open(row.sealed, place(Dispute.sealed, row.id)))
    return Disputed(
        relying_party_id=UUID(fields["relying_party_id"]),
        purpose=Purpose(fields["purpose"]),
        compared_at=datetime.fromisoformat(fields["compared_at"]),
        note=fields["note"],
    )
