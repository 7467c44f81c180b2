"""Content of the receipt of a consent event: the event, and the notice on which the subject decided."""

from datetime import date, time
from functools import lru_cache
from uuid import UUID

from sqlalchemy.orm import Session

from app.consent import notices
from app.consent.notice_template import front_matter
from app.consent.policy import ConsentEvent, EventState
from app.parties import queries as parties
from app.settings import Settings
from app.transparency.receipts import content
from app.transparency.verify.receipt import ConsentReceipt, Party
from app.transparency.verify.vocabulary import ConsentKind

CACHED_NOTICES = 64
"""Parsed notices in memory; few exist, and each decision reads one."""
_front_matter = lru_cache(maxsize=CACHED_NOTICES)(front_matter)
KINDS: dict[EventState, ConsentKind] = {
    EventState.GIVEN: "consent_given",
    EventState.REFUSED: "consent_refused",
    EventState.WITHDRAWN: "consent_withdrawn",
    EventState.EXPIRED: "consent_expired",
}


def build_content(session: Session, settings: Settings, event: ConsentEvent) -> ConsentReceipt:
    """Return the receipt's content. It omits the consent's id, which would link two receipts."""
    return content.consent_receipt(
        kind=KINDS[event.state],
        settings=settings,
        at=_time_of(event),
        valid_until=event.valid_until,
        notice_sha256=event.notice_sha256,
        front_matter=_front_matter(notices.read_text(session, event.notice_sha256)),
        relying_party=None if event.relying_party_id is None else _party(session, event.relying_party_id),
    )


def _time_of(event: ConsentEvent) -> date:
    """Return the event's time, or only its day.

    An expiry has only its day: the receipt of giving names the exact second of the end, which would link the two. An
    end recorded after a restore is known by its day, stored as midnight.
    """
    restored = event.state is EventState.WITHDRAWN and event.event_time.time() == time()
    return event.event_time.date() if restored or event.state is EventState.EXPIRED else event.event_time


def _party(session: Session, party_id: UUID) -> Party:
    (party,) = parties.list_recipients(session, [party_id])
    return content.recipient(party.id, name=party.name, contact=party.contact)
