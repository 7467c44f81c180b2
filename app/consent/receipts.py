"""What the receipt of a consent event says: the event, and what the person was told when they decided."""

from datetime import date, time
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.consent import notices
from app.consent.policy import ConsentEvent, EventState
from app.db.sqlite.prepared import within
from app.parties import service as parties
from app.settings import Settings
from app.transparency.receipts import content as drafting
from app.transparency.receipts import issue as issuing
from app.transparency.verify import receipt as receipts
from app.transparency.verify.vocabulary import ConsentKind

NOTICES_READ = 64
"""Notices whose front matter is kept in memory: there are a few, and each is read with every decision on it."""
KINDS: dict[EventState, ConsentKind] = {
    EventState.GIVEN: "consent_given",
    EventState.REFUSED: "consent_refused",
    EventState.WITHDRAWN: "consent_withdrawn",
    EventState.EXPIRED: "consent_expired",
}


def said(session: Session, settings: Settings, event: ConsentEvent) -> receipts.ConsentReceipt:
    """Return what the receipt of *event* says. The consent's own id is not in it: it would join two receipts."""
    return drafting.consent_receipt(
        kind=KINDS[event.state],
        issuer=issuing.receipt_issuer(settings),
        ids=drafting.ReceiptIds.fresh(),
        at=_when(event),
        valid_until=event.valid_until,
        notice_sha256=event.notice_sha256,
        matter=_matter(notices.text_of(session, event.notice_sha256)),
        relying_party=None if event.relying_party_id is None else _party(session, event.relying_party_id),
    )


def _when(event: ConsentEvent) -> date:
    """Return the day alone where no finer time is known, or where a finer one would join two receipts.

    A consent ends in the second that its receipt names, and a receipt of that end with the same second would go with no
    other. Of what a restored backup did not know to have ended the day is known, held as its midnight.
    """
    restored = event.state is EventState.WITHDRAWN and event.event_time.time() == time()
    return event.event_time.date() if restored or event.state is EventState.EXPIRED else event.event_time


def _party(session: Session, party_id: UUID) -> drafting.ConsentRecipient:
    (party,) = parties.recipients(within(session), [party_id])
    return drafting.ConsentRecipient(id=party.id, name=party.name, contact=party.contact)


@lru_cache(maxsize=NOTICES_READ)
def _matter(body: bytes) -> dict[str, Any]:
    return notices.matter(body)
