"""Renewing a consent before it ends: the person is asked again, on the text they said yes to if it is still in force.

The grant stays, with its template and its `subject_ref`; its end moves, and never to an earlier moment: to stop sooner
is to withdraw, which a restored backup does not undo. Nothing that has ended is renewed.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.consent import events, notices, queries
from app.consent.errors import ConsentRequiredError, NoticeChangedError
from app.consent.policy import EventState, renewal_is_due, renewed_until
from app.consent.tables import Grant
from app.db.sqlite.prepared import Statements
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.kit.errors import InvalidRequestError, NotFoundError
from app.parties import service as parties
from app.settings import Settings
from app.subjects import service as subjects
from app.transparency.verify.bundle import Bundle
from app.vault.vault import Vault
from app.web.auth import Principal


@dataclass(frozen=True, slots=True)
class Due:
    """A consent that ends soon."""

    grant: queries.GrantView
    renewable: bool
    """Whether its notice is still in force; else a new consent is needed."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """A consent with its new end."""

    grant: Grant
    receipt: Bundle


@operation("renewal")
def renew(
    vault: Vault,
    *,
    by: Principal,
    consent_id: UUID,
    notice_sha256: str,
    chosen_end: datetime | None,
    tell_time: Clock,
) -> Renewed:
    """Move the end of a consent in force. An ending, by whoever or by time, is first or finds it renewed.

    Raises:
        NotFoundError: the person never decided about such a consent.
        ConsentRequiredError: it has ended.
        NoticeChangedError: the notice is not the one that it was given on, or not in force any more.
        InvalidRequestError: its relying party may not ask any more, or an end that cannot be chosen.
    """
    with vault.data.write() as session:
        subjects.get(session, by.id, token_id=by.token_id)
        # Told in the transaction: by then whoever was first has ended it.
        now = tell_time()
        grant = _in_force(session, vault, subject_id=by.id, consent_id=consent_id, now=now)
        _check(session, grant, notice_sha256)
        grant.valid_until = _end_of(grant, chosen_end, vault.settings, now)
        session.flush()
        event = events.about(grant, EventState.GIVEN, at=now, ends=grant.valid_until)
        key = subjects.key(vault, by.id)
        return Renewed(grant, events.append(session, vault, key, subject_id=by.id, event=event, now=now))


def _in_force(session: Session, vault: Vault, *, subject_id: UUID, consent_id: UUID, now: datetime) -> Grant:
    grant = session.get(Grant, consent_id)
    if grant is None or grant.subject_id != subject_id:
        key = subjects.key(vault, subject_id)
        known = events.latest(session, key, subject_id=subject_id, consent_id=consent_id)
        raise NotFoundError if known is None else ConsentRequiredError
    if grant.valid_until <= now:
        raise ConsentRequiredError
    return grant


def _check(session: Session, grant: Grant, notice_sha256: str) -> None:
    if notice_sha256 != grant.notice_sha256 or notice_sha256 not in notices.digests(session, grant.purpose):
        raise NoticeChangedError
    party = grant.relying_party_id
    if party is not None and not parties.may_ask(session, party, grant.purpose):
        raise InvalidRequestError(("/consent_id", "its relying party asks for nothing any more: it cannot be renewed"))


def _end_of(grant: Grant, chosen: datetime | None, settings: Settings, now: datetime) -> datetime:
    try:
        return renewed_until(
            chosen,
            standing=grant.valid_until,
            now=now,
            default_days=settings.consent_days,
            longest_days=settings.consent_max_days,
        )
    except ValueError as error:
        raise InvalidRequestError(("/valid_until", str(error))) from error


def due(session: Session, reading: Statements, *, subject_id: UUID, days: int, now: datetime) -> list[Due]:
    """Return the person's consents that end within so many days, the first to end first."""
    soon = [
        grant
        for grant in queries.in_force(reading, subject_id=subject_id, now=now)
        if renewal_is_due(grant.valid_until, days=days, now=now)
    ]
    if not soon:
        return []
    current = {notice.sha256 for notice in notices.in_force(session)}
    ordered = sorted(soon, key=lambda grant: (grant.valid_until, grant.id))
    return [Due(grant, renewable=grant.notice_sha256 in current) for grant in ordered]
