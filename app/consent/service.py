"""Giving, refusing and withdrawing."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.consent import events, grants, notices, notifications, proofs
from app.consent.errors import NoticeChangedError
from app.consent.policy import ConsentEvent, EventState, ended_as, valid_until
from app.consent.tables import Grant
from app.faces.permit import Purpose
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.kit.errors import InvalidRequestError, NotFoundError
from app.parties import service as parties
from app.settings import Settings
from app.subjects import service as subjects
from app.transparency.log.entries import append_unrecorded
from app.transparency.verify.bundle import Bundle
from app.vault.register import Owner
from app.vault.seal import KekError, SealError
from app.vault.tables import EndedKind
from app.vault.vault import Change, Vault
from app.web.auth import Principal

log = structlog.get_logger()
REF_BYTES = 18
"""144 random bits in a `subject_ref`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person decides about."""

    purpose: Purpose
    relying_party_id: UUID | None
    notice_sha256: str


@dataclass(frozen=True, slots=True)
class Given:
    """A consent in force, and whether it is new."""

    grant: Grant
    new: bool
    receipt: Bundle | None
    """Of giving it; none if it was given before there were any."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was written down of a decision, or of time that was over."""

    event: ConsentEvent
    receipt: Bundle | None


@operation("consent")
def give(
    vault: Vault, *, by: Principal, asked: Asked, chosen_end: datetime | None, settings: Settings, now: datetime
) -> Given:
    """Record a consent and put it in force. One already in force on the same notice stands as it is.

    One in force on an older notice is ended first: a changed notice does not stretch an old consent.

    Raises:
        InvalidRequestError: no such relying party for this purpose, or an end that cannot be chosen.
        NoticeChangedError: the notice is not the one in force.
    """
    with vault.change() as change:
        subjects.get(change.session, by.id, token_id=by.token_id)
        _check_recipient(change.session, asked)
        _check_notice(change.session, asked)
        standing = _standing(change.session, by.id, asked)
        if standing is not None and standing.valid_until > now and standing.notice_sha256 == asked.notice_sha256:
            known = events.latest(change.session, subjects.key(vault, by.id), subject_id=by.id, consent_id=standing.id)
            return Given(standing, new=False, receipt=None if known is None else known[1])
        ends = _end_of(chosen_end, settings, now)
        if standing is not None:
            end_grant(change, vault, standing, now=now, replaced=True)
        keeping = proofs.Keeping(settings.proof_retention)
        grant, receipt = _put_in_force(
            change, vault, subject_id=by.id, asked=asked, ends=ends, keeping=keeping, now=now
        )
        return Given(grant, new=True, receipt=receipt)


def _standing(session: Session, subject_id: UUID, asked: Asked) -> Grant | None:
    return grants.standing(
        session, subject_id=subject_id, purpose=asked.purpose, relying_party_id=asked.relying_party_id
    )


def _check_recipient(session: Session, asked: Asked) -> None:
    party = asked.relying_party_id
    if asked.purpose is Purpose.TEMPLATE_RENEWAL:
        if party is not None:
            raise InvalidRequestError(("/relying_party_id", "template_renewal is for the controller; leave this out"))
    elif party is None or not parties.may_ask(session, party, asked.purpose):
        raise InvalidRequestError(("/relying_party_id", "name a relying party that asks for this purpose"))


def _check_notice(session: Session, asked: Asked) -> None:
    if asked.notice_sha256 not in notices.digests(session, asked.purpose):
        raise NoticeChangedError


def _end_of(chosen: datetime | None, settings: Settings, now: datetime) -> datetime:
    try:
        return valid_until(chosen, now=now, default_days=settings.consent_days, longest_days=settings.consent_max_days)
    except ValueError as error:
        raise InvalidRequestError(("/valid_until", str(error))) from error


def _put_in_force(
    change: Change,
    vault: Vault,
    *,
    subject_id: UUID,
    asked: Asked,
    ends: datetime,
    keeping: proofs.Keeping,
    now: datetime,
) -> tuple[Grant, Bundle]:
    grant = Grant(
        id=uuid4(),
        subject_id=subject_id,
        purpose=asked.purpose,
        relying_party_id=asked.relying_party_id,
        subject_ref=_reference(change.session, subject_id, asked.relying_party_id),
        notice_sha256=asked.notice_sha256,
        valid_until=ends,
    )
    change.issue(Owner.grant(grant.id))
    change.session.add(grant)
    proofs.begin(change.session, grant, keeping=keeping, given_on=now.date())
    event = events.about(grant, EventState.GIVEN, at=now, ends=ends)
    key = subjects.key(vault, subject_id)
    notifications.given(change.session, key, grant, now=now)
    return grant, events.append(change.session, vault, key, subject_id=subject_id, event=event, now=now)


def _reference(session: Session, subject_id: UUID, party_id: UUID | None) -> str | None:
    """Return what the party knows the person as: one random string while any consent to it is in force."""
    if party_id is None:
        return None
    known = select(Grant.subject_ref).where(Grant.subject_id == subject_id, Grant.relying_party_id == party_id)
    return session.scalar(known) or secrets.token_urlsafe(REF_BYTES)


@operation("refusal")
def refuse(vault: Vault, *, by: Principal, asked: Asked, tell_time: Clock) -> Recorded:
    """Record a refusal. The latest word counts: a consent in force for the same ends.

    That it ends is not refused because the relying party was revoked, or the text changed, since it was given.

    Raises:
        InvalidRequestError: no such relying party for this purpose.
        NoticeChangedError: the notice is neither the one in force nor that of the consent.
    """
    with vault.change() as change:
        subjects.get(change.session, by.id, token_id=by.token_id)
        now = tell_time()
        standing = _standing(change.session, by.id, asked)
        if standing is None:
            _check_recipient(change.session, asked)
        if standing is None or asked.notice_sha256 != standing.notice_sha256:
            _check_notice(change.session, asked)
        if standing is not None:
            end_grant(change, vault, standing, now=now, replaced=True)
        event = ConsentEvent(
            consent_id=uuid4(),
            state=EventState.REFUSED,
            event_time=now,
            purpose=asked.purpose,
            relying_party_id=asked.relying_party_id,
            notice_sha256=asked.notice_sha256,
            valid_until=None,
        )
        key = subjects.key(vault, by.id)
        return Recorded(event, events.append(change.session, vault, key, subject_id=by.id, event=event, now=now))


@operation("withdrawal")
def withdraw(vault: Vault, *, subject_id: UUID, consent_id: UUID, tell_time: Clock) -> tuple[Recorded, bool]:
    """End one consent, now. Returns how it ended, and whether every byte is gone from the logs of the stores too.

    Repeating it is harmless and gives the first answer again.

    Raises:
        NotFoundError: the person never decided about such a consent.
    """
    with vault.change() as change:
        grant = change.session.get(Grant, consent_id)
        if grant is not None and grant.subject_id == subject_id:
            recorded = end_grant(change, vault, grant, now=tell_time())
        else:
            recorded = _ended(change.session, vault, subject_id, consent_id, now=tell_time())
    return recorded, change.settled


def _ended(session: Session, vault: Vault, subject_id: UUID, consent_id: UUID, *, now: datetime) -> Recorded:
    """Return how a consent ended. What could not be written down when it did is written now."""
    key = subjects.key(vault, subject_id)
    found = events.latest(session, key, subject_id=subject_id, consent_id=consent_id)
    if found is None:
        raise NotFoundError
    event, receipt = found
    if event.state is not EventState.GIVEN:
        return Recorded(event, receipt)
    ended = replace(event, state=EventState.WITHDRAWN, event_time=now, valid_until=None)
    return Recorded(ended, _record(session, vault, subject_id, ended, now))


def end_grant(change: Change, vault: Vault, grant: Grant, *, now: datetime, replaced: bool = False) -> Recorded:
    """End a grant inside *change*: the row and what hangs from it, its keys, and the event that says so.

    Args:
        replaced: another word takes its place, and it must not end without that.
    """
    state = ended_as(grant.valid_until, now=now)
    # An expired consent ended when it expired, not when somebody noticed.
    event = events.about(grant, state, at=grant.valid_until if state is EventState.EXPIRED else now)
    delete_grant(change.session, grant)
    proofs.end(change.session, grant.id, on=event.event_time.date())
    end = change.replaced if replaced else change.end
    end(EndedKind.GRANT, grant.id, ended_as=state, on=event.event_time.date())
    notifications.ended(change.session, notifications.key_for(vault, grant), grant, now=now)
    return Recorded(event, _record(change.session, vault, grant.subject_id, event, now))


def _record(session: Session, vault: Vault, subject_id: UUID, event: ConsentEvent, now: datetime) -> Bundle | None:
    """Write down how a consent ended, if the keys for it open: an ending does not depend on its own record."""
    try:
        key = subjects.key(vault, subject_id)
        return events.append(session, vault, key, subject_id=subject_id, event=event, now=now)
    except (KekError, SealError) as error:
        log.error("an ending is not in the person's list", error=type(error).__name__)
        append_unrecorded(session, event.state, now=now)
        return None


def delete_grant(session: Session, grant: Grant) -> None:
    """Delete the row; templates and photos go by their foreign keys."""
    session.execute(delete(Grant).where(Grant.id == grant.id))
    session.expunge(grant)


def grant_ids(session: Session, subject_id: UUID) -> Sequence[UUID]:
    """Return the ids of a person's consents in force."""
    return session.scalars(select(Grant.id).where(Grant.subject_id == subject_id)).all()


def end_all(change: Change, *, subject_id: UUID, now: datetime) -> None:
    """Destroy the keys of every grant of a person who is being erased; the rows go with the person.

    What relying parties are still to be told stays, with no person beside it.
    """
    for grant in change.session.scalars(select(Grant).where(Grant.subject_id == subject_id)).all():
        change.end(EndedKind.GRANT, grant.id, ended_as="erased", on=now.date())
        proofs.end(change.session, grant.id, on=now.date())
        notifications.ended(change.session, None, grant, now=now)
