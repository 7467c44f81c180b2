"""Renew a consent before it ends, on the same notice.

The grant, its template and its `subject_ref` stay; only its end moves, and never to an earlier time. To stop sooner,
the subject withdraws the consent, which a restored backup does not undo. An ended consent cannot be renewed.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.consent import events, notices, queries
from app.consent.errors import ConsentRequiredError, NoticeChangedError
from app.consent.facts import Facts
from app.consent.policy import EventState, choose_end, renewal_is_due
from app.consent.tables import Grant
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.kit.errors import InvalidRequestError, NotFoundError
from app.parties import queries as parties
from app.settings import Settings
from app.subjects import daily_receipts
from app.subjects import service as subjects
from app.transparency.verify.bundle import Bundle
from app.vault.vault import Vault
from app.web.callers import Principal


@operation("renewing a consent")
def renew(
    vault: Vault,
    *,
    by: Principal,
    consent_id: UUID,
    notice_sha256: str,
    facts: Facts,
    chosen_end: datetime | None,
    settings: Settings,
    clock: Clock,
) -> tuple[Grant, Bundle]:
    """Move the end of a consent in force. Returns the grant and the receipt.

    Raises:
        NotFoundError: the subject never decided about this consent.
        ConsentRequiredError: it has ended.
        NoticeChangedError: the notice is not the consent's own, or no longer in force and true.
        InvalidRequestError: its relying party no longer offers the purpose, or the chosen end is not allowed.
        TooManyDecisionsError: the subject has all receipts of the day.
    """
    with vault.data.write() as session:
        subjects.get(session, by.id, token_id=by.token_id)
        # Inside the transaction: an ending that came first has committed before this time.
        now = clock()
        grant = _find_in_force(session, vault, subject_id=by.id, consent_id=consent_id, now=now)
        _check(session, grant, facts, notice_sha256)
        key = subjects.key(vault, by.id)
        daily_receipts.refuse_beyond(session, key, subject_id=by.id, settings=settings, now=now)
        grant.valid_until = choose_end(chosen_end, settings, now=now, current_end=grant.valid_until)
        session.flush()
        event = events.event_for(grant, EventState.GIVEN, at=now, ends=grant.valid_until)
        return grant, events.append(session, vault, key, subject_id=by.id, event=event, settings=settings, now=now)


def _find_in_force(session: Session, vault: Vault, *, subject_id: UUID, consent_id: UUID, now: datetime) -> Grant:
    grant = session.get(Grant, consent_id)
    if grant is None or grant.subject_id != subject_id:
        key = subjects.key(vault, subject_id)
        known = events.find_latest(session, key, subject_id=subject_id, consent_id=consent_id)
        raise NotFoundError if known is None else ConsentRequiredError
    if grant.valid_until <= now:
        raise ConsentRequiredError
    return grant


def _check(session: Session, grant: Grant, facts: Facts, notice_sha256: str) -> None:
    if notice_sha256 != grant.notice_sha256:
        raise NoticeChangedError
    notices.require_in_force(session, facts, purpose=grant.purpose, sha256=notice_sha256)
    party = grant.relying_party_id
    if party is not None and not parties.may_ask(session, party, grant.purpose):
        reason = "its relying party no longer asks for this purpose, so it cannot be renewed"
        raise InvalidRequestError(("/consent_id", reason))


def list_due(session: Session, facts: Facts, *, subject_id: UUID, days: int, now: datetime) -> list[tuple[Grant, bool]]:
    """Return the subject's consents that end within *days*, the first to end first.

    With each, whether it can be renewed; if its notice is no longer in force and true, a new consent is needed.
    """
    in_force = queries.list_in_force(session, subject_id=subject_id, now=now)
    soon = [grant for grant in in_force if renewal_is_due(grant.valid_until, days=days, now=now)]
    if not soon:
        return []
    current = {notice.sha256 for notice in notices.list_in_force(session, facts)}
    ordered = sorted(soon, key=lambda grant: (grant.valid_until, grant.id))
    return [(grant, grant.notice_sha256 in current) for grant in ordered]
