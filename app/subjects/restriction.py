"""Restriction (GDPR Art. 18): the subject stops all matching, and lifts the restriction again."""

from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.settings import Settings
from app.subjects import daily_receipts, service
from app.transparency.log.entries import record_or_note_unrecorded
from app.transparency.verify.bundle import Bundle
from app.vault.ending import ends
from app.vault.tables import EndedKind
from app.vault.vault import Vault
from app.web.callers import Principal


@operation("restriction")
@ends
def restrict(vault: Vault, *, by: Principal, settings: Settings, clock: Clock) -> Bundle | None:
    """Stop all matching of the subject now. Returns the receipt; None if matching was stopped already."""
    with vault.change() as change:
        subject, now = service.get(change.session, by.id, token_id=by.token_id), clock()
        if subject.matching_period_id is None:
            return None
        change.end(EndedKind.SPELL, subject.matching_period_id, ended_as="restricted", on=now.date())
        subject.matching_period_id = None
        return record_restriction(change.session, vault, subject_id=by.id, settings=settings, now=now)


def record_restriction(
    session: Session, vault: Vault, *, subject_id: UUID, settings: Settings, now: datetime
) -> Bundle | None:
    """Write the receipt of a restriction. If the keys do not open, the restriction holds without its receipt."""
    write = partial(service.issue_right_receipt, session, vault, subject_id, "restriction", settings=settings, now=now)
    return record_or_note_unrecorded(session, write, state="restricted", now=now)


def lift_restriction(
    session: Session, vault: Vault, *, by: Principal, settings: Settings, now: datetime
) -> Bundle | None:
    """Allow matching of the subject again, in a new matching period. Returns the receipt; None if not restricted.

    Raises:
        TooManyDecisionsError: the subject has all receipts of the day.
    """
    subject = service.get(session, by.id, token_id=by.token_id)
    if subject.matching_period_id is not None:
        return None
    key = service.key(vault, by.id)
    daily_receipts.refuse_beyond(session, key, subject_id=by.id, settings=settings, now=now)
    subject.matching_period_id = uuid4()
    return service.issue_right_receipt(session, vault, by.id, "restriction_lifted", settings=settings, now=now, own=key)
