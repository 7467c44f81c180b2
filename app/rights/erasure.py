"""Erasure: intent, delete, empty the logs, rebuild if small, and only then `completed`. Each step can be resumed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID, uuid4

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from app.consent import service as consent
from app.kit.errors import NotFoundError
from app.kit.settings import MIB, Settings
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


UNUSED_SPACE = Kept(
    what="unused space of the database file",
    holds="random ids that your rows had may be left there, and sealed bytes whose keys are destroyed; "
    "no name, no face",
    why="the file is large, and is written anew at a quiet time within days; this line goes when it was",
)


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """When the data store is written anew after an erasure; see `Store.rebuild`."""

    at_once_bytes: int
    """Up to this size at once, before the erasure is answered."""
    after_days: int
    """A larger one so many days after, once for all erasures since: meanwhile nobody else can write."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read it from the settings."""
        return cls(settings.rebuild_at_once_mib * MIB, settings.rebuild_after_days)


def kept(erasure: Erasure) -> tuple[Kept, ...]:
    """Return what remains after this erasure."""
    return KEPT if erasure.rebuilt else (*KEPT, UNUSED_SPACE)


def erase(vault: Vault, *, subject_id: UUID, rebuilding: Rebuilding, now: datetime) -> Erasure:
    """Erase a person, now. From the first commit they are out of matching, whatever happens after."""
    with vault.data.write() as session:
        subjects.begin_erasure(session, subject_id)
        erasure = Erasure(
            id=uuid4(),
            subject_id=subject_id,
            status=ErasureStatus.IN_PROGRESS,
            rebuilt=False,
            requested_on=now.date(),
            completed_on=None,
        )
        session.add(erasure)
    _carry_on(vault, [erasure.id], rebuilding=rebuilding, now=now)
    return get(vault, erasure_id=erasure.id)


def resume(vault: Vault, *, rebuilding: Rebuilding, now: datetime) -> int:
    """Carry on with every erasure that was interrupted, and rebuild when that is due. Returns how many completed."""
    with vault.data.read() as session:
        waiting = session.scalars(select(Erasure.id).where(Erasure.status == ErasureStatus.IN_PROGRESS)).all()
        due = (Erasure.rebuilt.is_(False), Erasure.completed_on <= now.date() - timedelta(days=rebuilding.after_days))
        late = session.scalar(select(Erasure.id).where(*due).limit(1))
    completed = _carry_on(vault, waiting, rebuilding=rebuilding, now=now) if waiting else 0
    if late is not None:
        _rebuild(vault)
    return completed


def _carry_on(vault: Vault, erasure_ids: Sequence[UUID], *, rebuilding: Rebuilding, now: datetime) -> int:
    """Do what is left; a store that fails leaves them in progress, to be carried on later."""
    try:
        for erasure_id in erasure_ids:
            _delete(vault, erasure_id, now)
        at_once = vault.data.bytes() <= rebuilding.at_once_bytes
        if _rebuild(vault) if at_once else vault.settle():
            _complete(vault, erasure_ids, now)
            return len(erasure_ids)
    except DBAPIError as error:
        log.error("erasure held up", error=type(error.orig).__name__)
    return 0


def _rebuild(vault: Vault) -> bool:
    """Write the data store anew, and note it for the erasures whose rows were gone by then."""
    with vault.data.read() as session:
        gone = (Erasure.rebuilt.is_(False), Erasure.subject_id.is_(None))
        erasure_ids = session.scalars(select(Erasure.id).where(*gone)).all()
    if not vault.scrub():
        return False
    with vault.data.write() as session:
        session.execute(update(Erasure).where(Erasure.id.in_(erasure_ids)).values(rebuilt=True))
    return True


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
