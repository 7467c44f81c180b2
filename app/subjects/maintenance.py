"""What a crash or a restored backup leaves to be done."""

from collections.abc import Collection, Iterator
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select

from app.subjects import restriction, token_expiry
from app.subjects.tables import Subject, Token
from app.vault import dead_rows
from app.vault.register import Owner
from app.vault.tables import EndedKind, OwnerKind
from app.vault.vault import Vault


def purge_dead(vault: Vault, *, now: datetime) -> int:
    """Remove people whose key is gone, and tokens that ended; stop the matching that was stopped. Returns how many."""
    removed = 0
    for page in dead_rows.pages(vault, Subject.id, Subject.matching_period_id):
        dead = dead_rows.without_key(vault, OwnerKind.SUBJECT, (row.id for row in page))
        spells = (row.matching_period_id for row in page if row.matching_period_id is not None)
        removed += _remove(vault, dead, stopped=dead_rows.tombstones(vault, EndedKind.SPELL, spells), now=now)
    for page in dead_rows.pages(vault, Token.id):
        ended = dead_rows.tombstones(vault, EndedKind.TOKEN, (row.id for row in page))
        if ended:
            with vault.data.write() as session:
                gone = session.scalars(select(Token).where(Token.id.in_(ended))).all()
                session.expunge_all()
                session.execute(delete(Token).where(Token.id.in_(ended)))
                # What was written down of it was lost with the commit, or with the data.
                left_unused = [token for token in gone if ended[token.id].ended_as == token_expiry.UNUSED]
                token_expiry.record_ended(session, vault, left_unused, now=now)
            removed += len(ended)
    return removed


def _remove(vault: Vault, dead: Collection[UUID], *, stopped: Collection[UUID], now: datetime) -> int:
    if dead or stopped:
        with vault.data.write() as session:
            session.execute(delete(Subject).where(Subject.id.in_(dead)))
            for subject in session.scalars(select(Subject).where(Subject.matching_period_id.in_(stopped))).all():
                # What was written down of it was lost with the commit, or with the data.
                subject.matching_period_id = None
                restriction.record_restriction(session, vault, subject_id=subject.id, now=now)
    return len(dead) + len(stopped)


def keys_in_use(vault: Vault) -> Iterator[dict[Owner, set[int]]]:
    """Give the people, a page at a time, with the one generation of their key that there is."""
    for page in dead_rows.pages(vault, Subject.id):
        yield {Owner.subject(row.id): {1} for row in page}
