"""Maintenance of consents: end expired ones, delete old proofs, and repair the store after a crash or a restore."""

from datetime import UTC, datetime, time
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.callbacks.policy import CallbackEvent
from app.consent import events, notifications, pause, proofs
from app.consent.policy import EventState
from app.consent.service import end_grant
from app.consent.tables import Grant
from app.kit.crash_points import operation
from app.settings import Settings
from app.subjects import service as subjects
from app.vault import dead_rows
from app.vault.ending import ends
from app.vault.tables import EndedKind, OwnerKind, Tombstone
from app.vault.vault import Vault
from app.web.callers import UnauthenticatedError


@operation("ending expired consents")
def end_expired(vault: Vault, *, settings: Settings, now: datetime) -> int:
    """End every expired consent, each in its own short transaction. Returns how many."""
    return sum(
        _end_if_expired(vault, row.id, settings, now)
        for page in dead_rows.read_pages(vault.data, Grant.id, where=[Grant.valid_until <= now])
        for row in page
    )


@ends
def _end_if_expired(vault: Vault, grant_id: UUID, settings: Settings, now: datetime) -> bool:
    try:
        with vault.change() as change:
            grant = change.session.get(Grant, grant_id)
            if grant is None or grant.valid_until > now:
                return False
            end_grant(change, vault, grant, settings=settings, now=now)
    except UnauthenticatedError:
        # The subject is being erased: the grant ends with the subject, and no event is written.
        return False
    return True


def purge_dead(vault: Vault, *, settings: Settings, now: datetime) -> int:
    """Delete grants whose key was destroyed and record their end; pause those paused before a backup was restored.

    Returns how many.
    """
    changed = 0
    for page in dead_rows.read_pages(vault.data, Grant.id, Grant.matching_period_id):
        dead = dead_rows.ids_without_key(vault, OwnerKind.GRANT, (row.id for row in page))
        if dead:
            changed += _delete_dead(vault, dead, settings=settings, now=now)
        period_ids = [row.matching_period_id for row in page if row.matching_period_id is not None]
        changed += pause.pause_after_restore(vault, period_ids, settings=settings, now=now)
    return changed


def _delete_dead(vault: Vault, dead: list[UUID], *, settings: Settings, now: datetime) -> int:
    tombstones = dead_rows.find_tombstones(vault, EndedKind.GRANT, dead)
    with vault.data.write() as session:
        grants = session.scalars(select(Grant).where(Grant.id.in_(dead))).all()
        subject_ids = {grant.subject_id for grant in grants}
        erased = set(dead_rows.ids_without_key(vault, OwnerKind.SUBJECT, subject_ids))
        session.expunge_all()
        session.execute(delete(Grant).where(Grant.id.in_(dead)))
        for grant in grants:
            here = grant.subject_id not in erased
            # A backup may hold an older message, or none; the relying party gets the end either way.
            key = notifications.find_record_key(vault, grant) if here else None
            notifications.notify(session, key, grant, CallbackEvent.ENDED, now=now)
            if (tombstone := tombstones.get(grant.id)) is not None:
                _record(vault, session, grant, tombstone, here=here, settings=settings, now=now)
    return len(grants)


def _record(
    vault: Vault, session: Session, grant: Grant, tombstone: Tombstone, *, here: bool, settings: Settings, now: datetime
) -> None:
    """Record the end of a consent that a restored backup held as in force."""
    proofs.set_end(session, grant.id, on=tombstone.ended_on)
    if not here or tombstone.ended_as not in set(EventState):
        return
    # The register stores only the day.
    at = datetime.combine(tombstone.ended_on, time(), tzinfo=UTC)
    event = events.event_for(grant, EventState(tombstone.ended_as), at=at)
    try:
        key = subjects.key(vault, grant.subject_id)
    except UnauthenticatedError:
        return
    events.append(session, vault, key, subject_id=grant.subject_id, event=event, settings=settings, now=now)
