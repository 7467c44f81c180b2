"""A subject's consent events: sealed under the subject's key, numbered for each subject, each with a receipt."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from app.consent import receipts
from app.consent.policy import ConsentEvent, EventState
from app.consent.tables import ConsentEventRow, Grant
from app.settings import Settings
from app.transparency.receipts import issue as issuing
from app.transparency.verify.bundle import Bundle
from app.vault.seal import Key
from app.vault.sealed_list import SealedList
from app.vault.vault import Vault

EVENTS = SealedList(ConsentEventRow, ConsentEvent)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A consent event and its receipt."""

    event: ConsentEvent
    receipt: Bundle | None
    """None if the event could not be recorded, or is older than receipts."""


def event_for(grant: Grant, state: EventState, *, at: datetime, ends: datetime | None = None) -> ConsentEvent:
    """Return the event of *grant* that has this state and time."""
    return ConsentEvent(
        consent_id=grant.id,
        state=state,
        event_time=at,
        purpose=grant.purpose,
        relying_party_id=grant.relying_party_id,
        notice_sha256=grant.notice_sha256,
        valid_until=ends,
    )


def append(
    session: Session,
    vault: Vault,
    key: Key,
    *,
    subject_id: UUID,
    event: ConsentEvent,
    settings: Settings,
    now: datetime,
) -> Bundle:
    """Write *event* as the subject's next, and issue its receipt in the same transaction. Returns the receipt."""
    row_id = uuid4()
    content = receipts.build_content(session, settings, event)
    bundle = issuing.issue_receipt(
        session, vault, key, subject_id=subject_id, receipt_id=row_id, content=content, settings=settings, now=now
    )
    EVENTS.append(session, key, row_id=row_id, subject_id=subject_id, record=event)
    return bundle


def find_latest(session: Session, key: Key, *, subject_id: UUID, consent_id: UUID) -> RecordedEvent | None:
    """Return the subject's latest event about one consent; None without such an event."""
    for entry in EVENTS.list_newest_first(session, key, subject_id=subject_id):
        if entry.record.consent_id == consent_id:
            return RecordedEvent(entry.record, issuing.find_receipt(session, key, receipt_id=entry.id))
    return None
