"""A subject's consent events: sealed under the subject's key, numbered for each subject, each with a receipt."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.consent import receipts
from app.consent.policy import ConsentEvent, EventState
from app.consent.tables import ConsentEventRow, Grant
from app.faces.permit import Purpose
from app.kit.json import written
from app.transparency.log import entries
from app.transparency.receipts import issue as issuing
from app.transparency.verify.bundle import Bundle
from app.vault.seal import Key
from app.vault.sealing_context import place
from app.vault.vault import Vault

_EVENT = entries.next_row(ConsentEventRow)


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


def append(session: Session, vault: Vault, key: Key, *, subject_id: UUID, event: ConsentEvent, now: datetime) -> Bundle:
    """Write *event* as the subject's next, and issue its receipt in the same transaction. Returns the receipt."""
    row_id = uuid4()
    content = receipts.build_content(session, vault.settings, event)
    bundle = issuing.issue_receipt(session, vault, key, subject_id=subject_id, receipt_id=row_id, said=content, now=now)
    plain = json.dumps(asdict(event), default=written).encode()
    row = key.seal(plain, place(ConsentEventRow.sealed, row_id))
    entries.insert_next(session, _EVENT, row_id=row_id, subject_id=subject_id, sealed=row)
    return bundle


def list_events(
    session: Session, key: Key, *, subject_id: UUID, limit: int | None = None, before: int | None = None
) -> Sequence[tuple[int, ConsentEvent]]:
    """Return the subject's events with their positions, newest first."""
    query = select(ConsentEventRow).where(ConsentEventRow.subject_id == subject_id)
    if before is not None:
        query = query.where(ConsentEventRow.position < before)
    rows = session.scalars(query.order_by(ConsentEventRow.position.desc()).limit(limit))
    return [(row.position, _read(key.open(row.sealed, place(ConsentEventRow.sealed, row.id)))) for row in rows]


def find_latest(
    session: Session, key: Key, *, subject_id: UUID, consent_id: UUID
) -> tuple[ConsentEvent, Bundle | None] | None:
    """Return the subject's latest event about one consent, and its receipt; None without such an event."""
    rows = select(ConsentEventRow).where(ConsentEventRow.subject_id == subject_id)
    for row in session.scalars(rows.order_by(ConsentEventRow.position.desc())):
        event = _read(key.open(row.sealed, place(ConsentEventRow.sealed, row.id)))
        if event.consent_id == consent_id:
            return event, issuing.find_receipt(session, key, receipt_id=row.id)
    return None


def _read(plain: bytes) -> ConsentEvent:
    fields = json.loads(plain)
    party, ends = fields["relying_party_id"], fields["valid_until"]
    return ConsentEvent(
        consent_id=UUID(fields["consent_id"]),
        state=EventState(fields["state"]),
        event_time=datetime.fromisoformat(fields["event_time"]),
        purpose=Purpose(fields["purpose"]),
        relying_party_id=None if party is None else UUID(party),
        notice_sha256=fields["notice_sha256"],
        valid_until=None if ends is None else datetime.fromisoformat(ends),
    )
