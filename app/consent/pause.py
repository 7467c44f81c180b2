"""Pause a consent while its subject disputes a comparison: it stays in force, but is not used for matching.

A pause ends the matching period of the consent. The register records that end, so a backup made before the pause does
not bring the period back.
"""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.consent.queries import find_grant
from app.consent.tables import Grant
from app.faces.permit import Purpose
from app.settings import Settings
from app.subjects import service as subjects
from app.transparency.log.entries import record_or_note_unrecorded
from app.vault import dead_rows
from app.vault.tables import EndedKind
from app.vault.vault import Change, Vault
from app.web.callers import UnauthenticatedError


def pause(change: Change, *, subject_id: UUID, relying_party_id: UUID, purpose: Purpose, now: datetime) -> bool:
    """Stop matching on the subject's consent. Returns whether there is such a consent."""
    grant = find_grant(change.session, subject_id, purpose, relying_party_id)
    if grant is not None and grant.matching_period_id is not None:
        # At the commit, not before: only lifting the dispute ends a pause, so a pause needs its dispute.
        change.end(EndedKind.SPELL, grant.matching_period_id, ended_as="disputed", on=now.date(), after_commit=True)
        grant.matching_period_id = None
    return grant is not None


def resume(session: Session, *, subject_id: UUID, relying_party_id: UUID, purpose: Purpose) -> bool:
    """Allow matching on the consent again, in a new matching period. Returns whether it was paused."""
    grant = find_grant(session, subject_id, purpose, relying_party_id)
    if grant is None or not grant.paused:
        return False
    grant.matching_period_id = uuid4()
    return True


def is_paused(session: Session, *, subject_id: UUID, relying_party_id: UUID, purpose: Purpose) -> bool:
    """Return whether the subject has such a consent and it is paused."""
    grant = find_grant(session, subject_id, purpose, relying_party_id)
    return grant is not None and grant.paused


def pause_after_restore(vault: Vault, period_ids: Collection[UUID], *, settings: Settings, now: datetime) -> int:
    """Pause the consents of a page whose matching period ended before a backup was restored. Returns how many."""
    ended = dead_rows.find_tombstones(vault, EndedKind.SPELL, period_ids)
    if not ended:
        return 0
    with vault.data.write() as session:
        paused = session.scalars(select(Grant).where(Grant.matching_period_id.in_(ended))).all()
        for grant in paused:
            grant.matching_period_id = None
            # The restore discarded the first receipt of the pause.
            write = partial(
                subjects.issue_right_receipt, session, vault, grant.subject_id, "dispute", settings=settings, now=now
            )
            with suppress(UnauthenticatedError):
                record_or_note_unrecorded(session, write, state="disputed", now=now)
    return len(paused)
