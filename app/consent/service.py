"""Give, refuse and withdraw consent."""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.callbacks.policy import CallbackEvent
from app.consent import events, notices, notifications, proofs, queries
from app.consent.events import RecordedEvent
from app.consent.facts import Facts
from app.consent.grant_keys import delete_grant
from app.consent.policy import ConsentEvent, EventState, choose_end, ended_as
from app.consent.tables import Grant
from app.faces.permit import Purpose
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.kit.errors import InvalidRequestError, NotFoundError
from app.parties import queries as parties
from app.settings import Settings
from app.subjects import daily_receipts
from app.subjects import service as subjects
from app.transparency.log.entries import record_or_note_unrecorded
from app.transparency.verify.bundle import Bundle
from app.vault.ending import ends
from app.vault.kept_answers import DependsOn, Keep, keep_nothing
from app.vault.register import Owner
from app.vault.seal import Key
from app.vault.tables import EndedKind
from app.vault.vault import Change, Vault
from app.web.callers import Principal

REF_BYTES = 18
"""144 random bits in a `subject_ref`."""


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """A purpose, a recipient and the notice that the subject read before deciding."""

    purpose: Purpose
    relying_party_id: UUID | None
    """None for the controller itself."""
    notice_sha256: str


@dataclass(frozen=True, slots=True)
class GivenConsent:
    """A consent in force."""

    grant: Grant
    new: bool
    """False if it was already in force on the same notice."""
    receipt: Bundle | None
    """None if the consent is older than receipts."""


@operation("consent")
def give(
    vault: Vault,
    *,
    by: Principal,
    request: ConsentRequest,
    facts: Facts,
    chosen_end: datetime | None,
    settings: Settings,
    now: datetime,
    keep: Keep[GivenConsent] = keep_nothing,
) -> GivenConsent:
    """Put a consent in force and record it. One on the same notice stays; one on an older notice is replaced.

    Raises:
        InvalidRequestError: no relying party offers this purpose, or the chosen end is not allowed.
        NoticeChangedError: the notice is not in force, or states a fact that is no longer true.
        TooManyDecisionsError: the subject has all receipts of the day.
    """
    with vault.change() as change:
        subjects.get(change.session, by.id, token_id=by.token_id)
        _check_recipient(change.session, request)
        notices.require_in_force(change.session, facts, purpose=request.purpose, sha256=request.notice_sha256)
        current = queries.find_grant(change.session, by.id, request.purpose, request.relying_party_id)
        key = subjects.key(vault, by.id)
        if current is not None and current.valid_until > now and current.notice_sha256 == request.notice_sha256:
            standing = _show_standing(change.session, key, current)
            # Kept too: after a withdrawal, the repeated request must not give the consent again.
            keep(change.session, standing, DependsOn(by.id, without_effect=True))
            return standing
        daily_receipts.refuse_beyond(change.session, key, subject_id=by.id, settings=settings, now=now)
        ends = choose_end(chosen_end, settings, now=now)
        if current is not None:
            end_grant(change, vault, current, settings=settings, now=now, replaced=True)
        grant = _put_in_force(change, settings.proof_retention, by.id, request, ends=ends, now=now)
        notifications.notify(change.session, key, grant, CallbackEvent.GIVEN, now=now)
        event = events.event_for(grant, EventState.GIVEN, at=now, ends=ends)
        receipt = events.append(change.session, vault, key, subject_id=by.id, event=event, settings=settings, now=now)
        given = GivenConsent(grant, new=True, receipt=receipt)
        keep(change.session, given, DependsOn(by.id))
        return given


def _show_standing(session: Session, key: Key, grant: Grant) -> GivenConsent:
    known = events.find_latest(session, key, subject_id=grant.subject_id, consent_id=grant.id)
    return GivenConsent(grant, new=False, receipt=None if known is None else known.receipt)


def _check_recipient(session: Session, request: ConsentRequest) -> None:
    party = request.relying_party_id
    if request.purpose is Purpose.TEMPLATE_RENEWAL:
        if party is not None:
            raise InvalidRequestError(("/relying_party_id", "template_renewal is for the controller; leave this out"))
    elif party is None or not parties.may_ask(session, party, request.purpose):
        raise InvalidRequestError(("/relying_party_id", "name a relying party that asks for this purpose"))


def _put_in_force(
    change: Change, retention: timedelta, subject_id: UUID, request: ConsentRequest, *, ends: datetime, now: datetime
) -> Grant:
    session, reference = change.session, None
    if request.relying_party_id is not None:
        # One random string for as long as any consent of the subject to this relying party is in force.
        same = (Grant.subject_id == subject_id, Grant.relying_party_id == request.relying_party_id)
        reference = session.scalar(select(Grant.subject_ref).where(*same)) or secrets.token_urlsafe(REF_BYTES)
    grant = Grant(id=uuid4(), subject_id=subject_id, subject_ref=reference, valid_until=ends, **asdict(request))
    change.issue(Owner.grant(grant.id))
    session.add(grant)
    proofs.add(session, grant, retention=retention, given_on=now.date())
    return grant


@operation("refusal")
@ends
def refuse(
    vault: Vault,
    *,
    by: Principal,
    request: ConsentRequest,
    facts: Facts,
    settings: Settings,
    clock: Clock,
    keep: Keep[RecordedEvent] = keep_nothing,
) -> RecordedEvent:
    """Record a refusal. A consent in force for the same purpose and recipient ends.

    It ends even if the relying party was revoked, or the notice was replaced, after the consent was given. A refusal
    also needs no true notice: a stale or retired one can be refused.

    Raises:
        InvalidRequestError: no relying party offers this purpose.
        NoticeChangedError: the notice is neither the latest nor the notice of the consent.
        TooManyDecisionsError: it ends no consent, and the subject has all receipts of the day.
    """
    with vault.change() as change:
        subjects.get(change.session, by.id, token_id=by.token_id)
        now = clock()
        current = queries.find_grant(change.session, by.id, request.purpose, request.relying_party_id)
        key = subjects.key(vault, by.id)
        if current is None:
            _check_recipient(change.session, request)
            daily_receipts.refuse_beyond(change.session, key, subject_id=by.id, settings=settings, now=now)
        if current is None or request.notice_sha256 != current.notice_sha256:
            notices.require_latest(change.session, facts, purpose=request.purpose, sha256=request.notice_sha256)
        if current is not None:
            end_grant(change, vault, current, settings=settings, now=now, replaced=True)
        event = ConsentEvent(
            consent_id=uuid4(), state=EventState.REFUSED, event_time=now, valid_until=None, **asdict(request)
        )
        receipt = events.append(change.session, vault, key, subject_id=by.id, event=event, settings=settings, now=now)
        refused = RecordedEvent(event, receipt)
        keep(change.session, refused, DependsOn(by.id))
        return refused


@operation("withdrawal")
@ends
def withdraw(
    vault: Vault, *, subject_id: UUID, consent_id: UUID, settings: Settings, clock: Clock
) -> tuple[RecordedEvent, bool]:
    """End one consent now. Returns its final event, and whether every byte has left the write-ahead logs too.

    A repeated withdrawal changes nothing and returns the first result.

    Raises:
        NotFoundError: the subject never decided about this consent.
    """
    with vault.change() as change:
        grant = change.session.get(Grant, consent_id)
        if grant is not None and grant.subject_id == subject_id:
            recorded = end_grant(change, vault, grant, settings=settings, now=clock())
        else:
            recorded = _find_final_event(change.session, vault, subject_id, consent_id, settings=settings, now=clock())
    return recorded, change.erased_from_disk


def _find_final_event(
    session: Session, vault: Vault, subject_id: UUID, consent_id: UUID, *, settings: Settings, now: datetime
) -> RecordedEvent:
    """Return the final event of an ended consent; if it could not be recorded at the time, record it now."""
    key = subjects.key(vault, subject_id)
    found = events.find_latest(session, key, subject_id=subject_id, consent_id=consent_id)
    if found is None:
        raise NotFoundError
    if found.event.state is not EventState.GIVEN:
        return found
    withdrawn = replace(found.event, state=EventState.WITHDRAWN, event_time=now, valid_until=None)
    receipt = _record(session, vault, subject_id, withdrawn, settings=settings, now=now)
    return RecordedEvent(withdrawn, receipt)


def end_grant(
    change: Change, vault: Vault, grant: Grant, *, settings: Settings, now: datetime, replaced: bool = False
) -> RecordedEvent:
    """End a grant inside *change*: delete it with all that served only it, destroy the keys, and record the event.

    Args:
        replaced: another decision replaces it; its key is then destroyed only after the commit.
    """
    state = ended_as(grant.valid_until, now=now)
    # An expired consent ended at its expiry, not at the time of this call.
    event = events.event_for(grant, state, at=grant.valid_until if state is EventState.EXPIRED else now)
    ended_on = event.event_time.date()
    delete_grant(change, grant, after_commit=replaced)
    proofs.set_end(change.session, grant.id, on=ended_on)
    change.end(EndedKind.GRANT, grant.id, ended_as=state, on=ended_on, after_commit=replaced)
    key = notifications.find_record_key(vault, grant)
    notifications.notify(change.session, key, grant, CallbackEvent.ENDED, now=now)
    receipt = _record(change.session, vault, grant.subject_id, event, settings=settings, now=now)
    return RecordedEvent(event, receipt)


def _record(
    session: Session, vault: Vault, subject_id: UUID, event: ConsentEvent, *, settings: Settings, now: datetime
) -> Bundle | None:
    """Record the end of a consent. If the keys do not open, the consent ends without its record."""

    def write() -> Bundle:
        key = subjects.key(vault, subject_id)
        return events.append(session, vault, key, subject_id=subject_id, event=event, settings=settings, now=now)

    return record_or_note_unrecorded(session, write, state=event.state, now=now)


def grant_ids(session: Session, subject_id: UUID) -> Sequence[UUID]:
    """Return the ids of the subject's grants."""
    return session.scalars(select(Grant.id).where(Grant.subject_id == subject_id)).all()


def end_all_grants(change: Change, *, subject_id: UUID, now: datetime) -> None:
    """Delete every grant of a subject who is being erased, with all that depends on it, and destroy its key.

    The messages that announce the ends to relying parties stay, without a link to the subject.
    """
    for grant in change.session.scalars(select(Grant).where(Grant.subject_id == subject_id)).all():
        change.end(EndedKind.GRANT, grant.id, ended_as="erased", on=now.date())
        proofs.set_end(change.session, grant.id, on=now.date())
        notifications.notify(change.session, None, grant, CallbackEvent.ENDED, now=now)
    # Before the subject: PostgreSQL deletes the entries of a subject before the templates that refer to them.
    change.session.execute(delete(Grant).where(Grant.subject_id == subject_id))
