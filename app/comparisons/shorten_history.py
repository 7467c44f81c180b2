"""Shorten a history: the subject deletes their comparisons before a day, with their entries in the transparency log.

1. A *cut* is written in the register, under a digest of the subject's id and the number of the cut. Now it holds.
2. The comparisons are deleted in pages, each with its log entry, record and salt. A new entry says that the history was
   shortened. The leaves stay in the tree.
3. The subject's row counts the cut.

After an interruption, or in a restored backup, the count is behind the register. `purge_dead` then carries out the
missing cuts, before the service is ready and with each maintenance run.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID, uuid4

import structlog
from sqlalchemy import delete, select

from app.comparisons import history
from app.comparisons.tables import Comparison
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.subjects import service as subjects
from app.subjects.tables import Subject
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.vault import dead_rows
from app.vault.ending import ends
from app.vault.seal import KekError, Key, SealError
from app.vault.tables import EndedKind
from app.vault.vault import Vault
from app.web.callers import Principal, UnauthenticatedError

log = structlog.get_logger()
PAGE = 500
"""Comparisons opened together, and deleted in one transaction."""


@dataclass(frozen=True, slots=True)
class ShortenedHistory:
    """The result of shortening a history."""

    deleted: int
    erased_from_disk: bool
    """Whether the stores' write-ahead logs are free of the deleted bytes."""


def cut_id(subject_id: UUID, number: int) -> UUID:
    """Return the id of a subject's cut, counted from 0. Cut ids cannot be linked to each other."""
    return UUID(bytes=hashlib.sha256(f"history cut:{subject_id}:{number}".encode()).digest()[:16], version=4)


@operation("deleting old comparisons")
@ends
def shorten(vault: Vault, *, by: Principal, before: date, clock: Clock) -> ShortenedHistory:
    """Delete the subject's comparisons before a day (UTC). Without any, nothing is written."""
    key = subjects.key(vault, by.id)
    if next(_pages_before(vault, key, by.id, before), None) is None:
        return ShortenedHistory(0, vault.checkpoint_all())
    with vault.change() as change:
        number = subjects.get(change.session, by.id, token_id=by.token_id).history_cuts
        while _find_cuts(vault, [cut_id(by.id, number)]):
            number += 1
        change.end(EndedKind.HISTORY, cut_id(by.id, number), ended_as="shortened", on=before)
    try:
        deleted = _carry_out(vault, key, by.id, now=clock())
    except BaseException:
        vault.unfinished = True
        raise
    return ShortenedHistory(deleted, vault.checkpoint_all())


def purge_dead(vault: Vault, *, now: datetime) -> int:
    """Carry out the cuts that the data does not count. Returns the number of comparisons deleted."""
    removed = 0
    for page in dead_rows.read_pages(vault.data, Subject.id, Subject.history_cuts):
        subject_ids = {cut_id(row.id, row.history_cuts): row.id for row in page}
        for cut in _find_cuts(vault, subject_ids):
            subject_id = subject_ids[cut]
            try:
                removed += _carry_out(vault, subjects.key(vault, subject_id), subject_id, now=now)
            except UnauthenticatedError:
                # The subject is being erased, and the history with them.
                continue
            except (KekError, SealError) as error:
                log.error("a history is not shortened", error=type(error).__name__)
    return removed


def _find_cuts(vault: Vault, ids: Collection[UUID]) -> dict[UUID, date]:
    """Return the cuts among *ids* that were made, with the day of each."""
    tombstones = dead_rows.find_tombstones(vault, EndedKind.HISTORY, ids)
    return {cut: tombstone.ended_on for cut, tombstone in tombstones.items()}


def _carry_out(vault: Vault, key: Key, subject_id: UUID, *, now: datetime) -> int:
    """Carry out the cuts that the subject's row does not count. Returns the number of comparisons deleted."""
    with vault.data.read() as session:
        counted = subjects.get(session, subject_id).history_cuts
    days: list[date] = []
    while found := _find_cuts(vault, [cut_id(subject_id, counted + len(days))]):
        days += found.values()
    if not days:
        return 0
    pages = _pages_before(vault, key, subject_id, max(days))
    deleted = sum(_delete(vault, key, subject_id, ids, now=now) for ids in pages)
    with vault.data.write() as session:
        subject = subjects.get(session, subject_id)
        # A parallel run may have counted more.
        subject.history_cuts = max(subject.history_cuts, counted + len(days))
    return deleted


def _delete(vault: Vault, key: Key, subject_id: UUID, ids: Collection[UUID], *, now: datetime) -> int:
    with vault.data.write() as session:
        existing = session.scalars(select(Comparison.id).where(Comparison.id.in_(ids))).all()
        if existing:
            entry_ids = entries.find_existing(session, existing)
            # Before the deletion: an audit then knows how many entries before this one are missing.
            entries.append(
                session,
                key,
                subject_id=subject_id,
                entry_id=uuid4(),
                act=LoggedAct.HISTORY_SHORTENED,
                at=now.isoformat(),
                entries=len(entry_ids),
            )
            session.execute(delete(Comparison).where(Comparison.id.in_(existing)))
            entries.delete_entries(session, entry_ids)
        return len(existing)


def _pages_before(vault: Vault, key: Key, subject_id: UUID, before: date) -> Iterator[list[UUID]]:
    """Return the ids of a subject's comparisons before a day, in pages; no transaction is open between two pages."""
    query = select(Comparison).where(Comparison.subject_id == subject_id).order_by(Comparison.position).limit(PAGE)
    after = 0
    while True:
        with vault.data.read() as session:
            page = session.scalars(query.where(Comparison.position > after)).all()
        ids = [row.id for row in page if history.COMPARISONS.open(key, row.id, row.sealed).at.date() < before]
        if ids:
            yield ids
        if len(page) < PAGE:
            return
        after = page[-1].position
