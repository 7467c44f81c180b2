"""Shortening a history: a person deletes their comparisons of before a day, and what the log's entries say of these.

1. The *cut* is written in the register, under a digest of the person's id and the cut's number: from then on it holds.
2. The lines go, a page at a time, each with its entry, record and salt. A new entry says that it was done, not what.
   The leaves stay in the tree.
3. The person's row counts the cut.

Whatever interrupts it, the count is then behind the register, as it is in a restored backup: `purge_dead` goes on from
there, before the service is ready, and with the next sweep.
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
from app.vault.seal import KekError, Key, SealError
from app.vault.tables import EndedKind
from app.vault.vault import Vault
from app.web.auth import Principal, UnauthenticatedError

log = structlog.get_logger()
PAGE = 500
"""Lines that are opened together, and deleted in one transaction."""


@dataclass(frozen=True, slots=True)
class Shortened:
    """What was deleted of a history."""

    deleted: int
    settled: bool
    """Whether every byte is gone from the logs of the stores too."""


def cut_id(subject_id: UUID, number: int) -> UUID:
    """Return what a person's cut of this number, the first being 0, is known by: nobody goes from one to the next."""
    return UUID(bytes=hashlib.sha256(f"history cut:{subject_id}:{number}".encode()).digest()[:16], version=4)


@operation("shortening a history")
def shorten(vault: Vault, *, by: Principal, before: date, tell_time: Clock) -> Shortened:
    """Delete the person's comparisons of before a day (UTC). Where there are none nothing is written."""
    key = subjects.key(vault, by.id)
    if next(_doomed(vault, key, by.id, before), None) is None:
        return Shortened(0, settled=vault.checkpoint_all())
    with vault.change() as change:
        number = subjects.get(change.session, by.id, token_id=by.token_id).history_cuts
        while _cuts(vault, [cut_id(by.id, number)]):
            number += 1
        change.end(EndedKind.HISTORY, cut_id(by.id, number), ended_as="shortened", on=before)
    try:
        deleted = _carry_out(vault, key, by.id, now=tell_time())
    except BaseException:
        vault.unfinished = True
        raise
    return Shortened(deleted, settled=vault.checkpoint_all())


def purge_dead(vault: Vault, *, now: datetime) -> int:
    """Carry out the cuts that the data does not know of. Returns how many lines went."""
    removed = 0
    for page in dead_rows.pages(vault, Subject.id, Subject.history_cuts):
        behind = {cut_id(row.id, row.history_cuts): row.id for row in page}
        for cut in _cuts(vault, behind):
            try:
                removed += _carry_out(vault, subjects.key(vault, behind[cut]), behind[cut], now=now)
            except UnauthenticatedError:
                # They are being erased, and their history goes with them.
                continue
            except (KekError, SealError) as error:
                log.error("a history is not shortened", error=type(error).__name__)
    return removed


def _cuts(vault: Vault, ids: Collection[UUID]) -> dict[UUID, date]:
    """Return those of the cuts that were made, each with the day up to which it goes."""
    stones = dead_rows.tombstones(vault, EndedKind.HISTORY, ids)
    return {one: stone.ended_on for one, stone in stones.items()}


def _carry_out(vault: Vault, key: Key, subject_id: UUID, *, now: datetime) -> int:
    """Do what the register says and the person's row does not count yet. Returns how many lines went."""
    with vault.data.read() as session:
        counted = subjects.get(session, subject_id).history_cuts
    days: list[date] = []
    while found := _cuts(vault, [cut_id(subject_id, counted + len(days))]):
        days += found.values()
    if not days:
        return 0
    doomed = _doomed(vault, key, subject_id, max(days))
    deleted = sum(_delete(vault, key, subject_id, ids, now=now) for ids in doomed)
    with vault.data.write() as session:
        subject = subjects.get(session, subject_id)
        # Another may have carried out some of them meanwhile, and more.
        subject.history_cuts = max(subject.history_cuts, counted + len(days))
    return deleted


def _delete(vault: Vault, key: Key, subject_id: UUID, ids: Collection[UUID], *, now: datetime) -> int:
    with vault.data.write() as session:
        there = session.scalars(select(Comparison.id).where(Comparison.id.in_(ids))).all()
        if there:
            gone, entry_id, at = entries.find_existing(session, there), uuid4(), now.isoformat()
            # First, so that it stands behind those that go, and tells an audit of as many as are missing before it.
            entries.append(
                session,
                key,
                subject_id=subject_id,
                entry_id=entry_id,
                act=LoggedAct.HISTORY_SHORTENED,
                at=at,
                entries=len(gone),
            )
            session.execute(delete(Comparison).where(Comparison.id.in_(there)))
            entries.delete_entries(session, gone)
        return len(there)


def _doomed(vault: Vault, key: Key, subject_id: UUID, before: date) -> Iterator[list[UUID]]:
    """Give the ids of a person's comparisons of before a day, page by page; in no transaction between two."""
    query = select(Comparison).where(Comparison.subject_id == subject_id).order_by(Comparison.position).limit(PAGE)
    after = 0
    while True:
        with vault.data.read() as session:
            page = session.scalars(query.where(Comparison.position > after)).all()
        doomed = [row.id for row in page if history.opened(key, row).at.date() < before]
        if doomed:
            yield doomed
        if len(page) < PAGE:
            return
        after = page[-1].position
