"""Erasure: intent, delete, rebuild, empty the logs, and only then `completed`. Each step can be resumed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from app.consent import service as consent
from app.kit.errors import NotFoundError
from app.rights.tables import Erasure, ErasureStatus
from app.subjects import service as subjects
from app.vault.vault import Vault

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kept:
    """What remains after an erasure, and why."""

    what: str
    holds: str
    why: str


KEPT = (
    Kept(
        what="tombstones",
        holds="the SHA-256 of the random ids that your account, consents and tokens had, and the day; "
        "no id itself, no name, no face, no relying party",
        why="so that restoring an old backup cannot bring you back",
    ),
    Kept(
        what="this erasure",
        holds="its own random id, its state and two days; nothing that points at you",
        why="so that you can see that it was done",
    ),
)


def erase(vault: Vault, *, subject_id: UUID, rebuild_at_once: int, now: datetime) -> Erasure:
    """Erase a person, now. From the first commit they are out of matching, whatever happens after.

    Args:
        rebuild_at_once: bytes of the data store up to which it is rebuilt before this returns, and so the erasure
            completed; a larger one is rebuilt by the next sweep, once for all who wait.
    """
    with vault.data.write() as session:
        subjects.begin_erasure(session, subject_id)
        erasure = Erasure(
            id=uuid4(),
            subject_id=subject_id,
            status=ErasureStatus.IN_PROGRESS,
            requested_on=now.date(),
            completed_on=None,
        )
        session.add(erasure)
    _carry_on(vault, [erasure.id], rebuild=vault.data.bytes() <= rebuild_at_once, now=now)
    return get(vault, erasure_id=erasure.id)


def resume(vault: Vault, *, now: datetime) -> int:
    """Carry on with every erasure that waits or was interrupted. Returns how many are completed by that."""
    with vault.data.read() as session:
        waiting = session.scalars(select(Erasure.id).where(Erasure.status == ErasureStatus.IN_PROGRESS)).all()
    return _carry_on(vault, waiting, rebuild=True, now=now) if waiting else 0


def _carry_on(vault: Vault, erasure_ids: Sequence[UUID], *, rebuild: bool, now: datetime) -> int:
    """Do what is left; a store that fails leaves them in progress, to be carried on later."""
    try:
        for erasure_id in erasure_ids:
            _delete(vault, erasure_id, now)
        if rebuild and vault.scrub():
            _complete(vault, erasure_ids, now)
            return len(erasure_ids)
    except DBAPIError as error:
        log.error("erasure held up", error=type(error.orig).__name__)
    return 0


def _delete(vault: Vault, erasure_id: UUID, now: datetime) -> None:
    with vault.change() as change:
        subject_id = change.session.scalar(select(Erasure.subject_id).where(Erasure.id == erasure_id))
        if subject_id is not None:
            consent.end_all(change, subject_id=subject_id, now=now)
            subjects.delete_subject(change, subject_id=subject_id, now=now)


def _complete(vault: Vault, erasure_ids: Sequence[UUID], now: datetime) -> None:
    with vault.data.write() as session:
        done = update(Erasure).where(Erasure.id.in_(erasure_ids), Erasure.status == ErasureStatus.IN_PROGRESS)
        session.execute(done.values(status=ErasureStatus.COMPLETED, completed_on=now.date()))


def get(vault: Vault, *, erasure_id: UUID) -> Erasure:
    """Return one erasure.

    Raises:
        NotFoundError: there is none with this id.
    """
    with vault.data.read() as session:
        erasure = session.get(Erasure, erasure_id)
    if erasure is None:
        raise NotFoundError
    return erasure
