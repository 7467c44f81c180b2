"""Pausing a consent: nobody is matched on it, it stands, and only its person lets it be used again.

A pause ends the spell of matching that the consent is in. As with a person's own restriction the register remembers
that: a backup from before does not bring the spell back.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID, uuid4

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.consent.errors import PausedError
from app.consent.grants import standing
from app.consent.tables import Grant
from app.faces.permit import Purpose
from app.subjects import service as subjects
from app.transparency.log.entries import append_unrecorded
from app.vault import dead_rows
from app.vault.seal import KekError, SealError
from app.vault.tables import EndedKind
from app.vault.vault import Change, Vault
from app.web.auth import UnauthenticatedError

log = structlog.get_logger()


def pause(change: Change, *, subject_id: UUID, relying_party_id: UUID, purpose: Purpose, now: datetime) -> bool:
    """Stop matching on the person's consent to this, if there is one that is not paused. Says whether it is now."""
    grant = standing(change.session, subject_id=subject_id, purpose=purpose, relying_party_id=relying_party_id)
    if grant is not None and grant.spell_id is not None:
        # With the commit and not before: a pause without the dispute could be lifted by nothing.
        change.replaced(EndedKind.SPELL, grant.spell_id, ended_as="disputed", on=now.date())
        grant.spell_id = None
    return grant is not None


def resume(session: Session, *, subject_id: UUID, relying_party_id: UUID, purpose: Purpose) -> bool:
    """Let the consent be used again, in a new spell. Says whether it had been paused."""
    grant = standing(session, subject_id=subject_id, purpose=purpose, relying_party_id=relying_party_id)
    if grant is None or grant.spell_id is not None:
        return False
    grant.spell_id = uuid4()
    return True


def is_paused(session: Session, *, subject_id: UUID, relying_party_id: UUID, purpose: Purpose) -> bool:
    """Say whether there is a consent to this, and it is paused."""
    grant = standing(session, subject_id=subject_id, purpose=purpose, relying_party_id=relying_party_id)
    return grant is not None and grant.spell_id is None


def refuse_if_paused(session: Session, *, subject_id: UUID, consent_ids: Collection[UUID], now: datetime) -> None:
    """Refuse what would use the person's face on one of these consents of theirs.

    Raises:
        PausedError: they dispute a comparison that was made on it.
    """
    mine = (Grant.subject_id == subject_id, Grant.id.in_(consent_ids), Grant.valid_until > now)
    if session.scalar(select(Grant.id).where(*mine, Grant.spell_id.is_(None)).limit(1)) is not None:
        raise PausedError


def pause_again(vault: Vault, spell_ids: Collection[UUID], *, now: datetime) -> int:
    """Pause the consents whose spell, one of a page of *spell_ids*, was ended before a backup was restored."""
    ended = dead_rows.tombstones(vault, EndedKind.SPELL, spell_ids)
    if not ended:
        return 0
    with vault.data.write() as session:
        paused = session.scalars(select(Grant).where(Grant.spell_id.in_(ended))).all()
        for grant in paused:
            grant.spell_id = None
            _record(session, vault, grant.subject_id, now)
    return len(paused)


def _record(session: Session, vault: Vault, subject_id: UUID, now: datetime) -> None:
    """Write the receipt anew, if the keys for it open: what was written down was lost with the data."""
    try:
        subjects.issue_receipt(session, vault, subject_id, "dispute", now=now)
    except UnauthenticatedError:
        return
    except (KekError, SealError) as error:
        log.error("a pause is not in the person's list", error=type(error).__name__)
        append_unrecorded(session, "disputed", now=now)
