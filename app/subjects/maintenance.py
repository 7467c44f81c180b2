"""Repair subjects and tokens after a crash or a restore."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import delete, select

from app.settings import Settings
from app.subjects import restriction, token_expiry
from app.subjects.tables import Subject, Token
from app.vault import dead_rows
from app.vault.register import Owner
from app.vault.tables import EndedKind, OwnerKind
from app.vault.vault import Vault


def purge_dead(vault: Vault, *, settings: Settings, now: datetime) -> int:
    """Delete subjects whose key was destroyed and ended tokens; restrict subjects again who had restricted matching.

    Returns how many.
    """
    return _purge_subjects(vault, settings, now) + _purge_tokens(vault, now)


def _purge_subjects(vault: Vault, settings: Settings, now: datetime) -> int:
    changed = 0
    for page in dead_rows.read_pages(vault.data, Subject.id, Subject.matching_period_id):
        dead = dead_rows.ids_without_key(vault, OwnerKind.SUBJECT, (row.id for row in page))
        period_ids = (row.matching_period_id for row in page if row.matching_period_id is not None)
        ended_periods = dead_rows.find_tombstones(vault, EndedKind.SPELL, period_ids)
        if dead or ended_periods:
            with vault.data.write() as session:
                session.execute(delete(Subject).where(Subject.id.in_(dead)))
                restricted = select(Subject).where(Subject.matching_period_id.in_(ended_periods))
                for subject in session.scalars(restricted).all():
                    # A failed commit, or the restore, discarded the first record.
                    subject.matching_period_id = None
                    restriction.record_restriction(session, vault, subject_id=subject.id, settings=settings, now=now)
        changed += len(dead) + len(ended_periods)
    return changed


def _purge_tokens(vault: Vault, now: datetime) -> int:
    deleted = 0
    for ended in dead_rows.ended_pages(vault, EndedKind.TOKEN, Token.id):
        with vault.data.write() as session:
            tokens = session.scalars(select(Token).where(Token.id.in_(ended))).all()
            session.expunge_all()
            session.execute(delete(Token).where(Token.id.in_(ended)))
            # A failed commit, or the restore, discarded the first record.
            unused = [token for token in tokens if ended[token.id].ended_as == token_expiry.UNUSED]
            token_expiry.record_ended(session, vault, unused, now=now)
        deleted += len(ended)
    return deleted


def keys_in_use(vault: Vault) -> Iterator[dict[Owner, set[int]]]:
    """Yield the subjects, a page at a time, each with the single generation of its key."""
    for page in dead_rows.read_pages(vault.data, Subject.id):
        yield {Owner.subject(row.id): {1} for row in page}
