"""What time, a crash or a restored backup leaves to be done."""

from datetime import UTC, datetime, time
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.consent import events, notifications, pause, proofs
from app.consent.policy import EventState
from app.consent.service import end_grant
from app.consent.tables import Grant
from app.kit.crash_points import operation
from app.subjects import service as subjects
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault import dead_rows
from app.vault.tables import EndedKind, OwnerKind, Tombstone
from app.vault.vault import Vault
from app.web.auth import UnauthenticatedError


@operation("expiry")
def expire(vault: Vault, *, now: datetime) -> int:
    """End every consent whose time is over, one short transaction each. Returns how many."""
    return sum(
        _expire_one(vault, row.id, now)
        for page in dead_rows.pages(vault, Grant.id, where=[Grant.valid_until <= now])
        for row in page
    )


def _expire_one(vault: Vault, grant_id: UUID, now: datetime) -> bool:
    try:
        with vault.change() as change:
            grant = change.session.get(Grant, grant_id)
            if grant is None or grant.valid_until > now:
                return False
            end_grant(change, vault, grant, now=now)
    except UnauthenticatedError:
        # Its person is being erased: it goes with them, and there is nobody left to keep an event for.
        return False
    return True


@operation("forgetting proofs")
def forget_proofs(vault: Vault, *, keeping: proofs.Keeping, now: datetime) -> int:
    """Delete the proofs whose time is over, a page at a time. Returns how many."""
    today, forgotten = now.date(), 0
    while True:
        with vault.data.read() as session:
            page = proofs.over(session, keeping=keeping, today=today)
        if not page:
            return forgotten
        with vault.data.write() as session:
            deleted = proofs.forget(session, page)
            if deleted:
                append_open_entry(session, LoggedAct.RETENTION_RUN, proofs_deleted=deleted, on=today.isoformat())
        forgotten += deleted


def purge_dead(vault: Vault, *, now: datetime) -> int:
    """Remove grants whose key is gone, and record how they ended if the person is still here; pause those that were.

    Returns how many.
    """
    removed = 0
    for page in dead_rows.pages(vault, Grant.id, Grant.spell_id):
        dead = dead_rows.without_key(vault, OwnerKind.GRANT, (row.id for row in page))
        if dead:
            stones = dead_rows.tombstones(vault, EndedKind.GRANT, dead)
            with vault.data.write() as session:
                grants = session.scalars(select(Grant).where(Grant.id.in_(dead))).all()
                here = {grant.subject_id for grant in grants}
                here -= set(dead_rows.without_key(vault, OwnerKind.SUBJECT, here))
                session.expunge_all()
                session.execute(delete(Grant).where(Grant.id.in_(dead)))
                for grant in grants:
                    # Whoever was told, or never was, when the backup was made: now it has ended.
                    key = notifications.key_for(vault, grant) if grant.subject_id in here else None
                    notifications.ended(session, key, grant, now=now)
                    if (stone := stones.get(grant.id)) is not None:
                        _record(vault, session, grant, stone, here=grant.subject_id in here, now=now)
            removed += len(grants)
        removed += pause.pause_again(vault, [row.spell_id for row in page if row.spell_id is not None], now=now)
    return removed


def _record(vault: Vault, session: Session, grant: Grant, stone: Tombstone, *, here: bool, now: datetime) -> None:
    """Write down how a consent ended that a restored backup did not know to have ended."""
    proofs.end(session, grant.id, on=stone.ended_on)
    if not here or stone.ended_as not in set(EventState):
        return
    # The register remembers the day only.
    event = events.about(grant, EventState(stone.ended_as), at=datetime.combine(stone.ended_on, time(), tzinfo=UTC))
    try:
        key = subjects.key(vault, grant.subject_id)
    except UnauthenticatedError:
        return
    events.append(session, vault, key, subject_id=grant.subject_id, event=event, now=now)
