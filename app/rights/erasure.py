"""Erasure, a state machine in the database: intent, deleted, completed. Whatever interrupts it, it goes on from there.

1. *intent* is committed: the person is out of matching, and nobody's token of theirs opens anything.
2. The rows go and the keys are destroyed, in the one order of `Vault.change`; *deleted* is committed with the rows.
3. Both logs are emptied, with nobody holding them up, and a small data store is written anew.
4. Each store is asked whether anything is left: only then is *completed* written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from app.consent import service as consent
from app.kit.errors import NotFoundError
from app.kit.settings import MIB, Settings
from app.kit.steps import operation
from app.rights.tables import Erasure, ErasureStep
from app.subjects import service as subjects
from app.vault.register import Owner
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


def kept(erasure: Erasure, settings: Settings, *, today: date) -> tuple[Kept, ...]:
    """Return what remains after this erasure."""
    retention = settings.proof_retention
    proofs = retention and today <= (erasure.completed_on or today) + retention
    return (*KEPT, *((_proofs(retention.days),) if proofs else ()), *(() if erasure.rebuilt else (UNUSED_SPACE,)))


def _proofs(days: int) -> Kept:
    return Kept(
        what="proofs of consent",
        holds="for each consent that you gave: the SHA-256 of its random id, the text you read, the purpose, the "
        "relying party, and the days it was given and ended; not who you are, and no reference to you",
        why=f"so that whoever holds the consent's id can show that it was given, for {days} days after its end",
    )


@operation("erasure")
def erase(vault: Vault, *, subject_id: UUID, settings: Settings, now: datetime) -> Erasure:
    """Erase a person, now. From the first commit they are out of matching, whatever happens after."""
    with vault.data.write() as session:
        subjects.begin_erasure(session, subject_id)
        erasure = Erasure(
            id=uuid4(),
            subject_id=subject_id,
            step=ErasureStep.INTENT,
            key_owner=None,
            rebuilt=False,
            requested_on=now.date(),
            completed_on=None,
        )
        session.add(erasure)
    _carry_on(vault, [erasure.id], settings=settings, now=now)
    try:
        return get(vault, erasure_id=erasure.id)
    except DBAPIError:
        # It has begun, and they have no way in any more to ask: they are told where to look.
        return erasure


@operation("erasure")
def resume(vault: Vault, *, settings: Settings, now: datetime) -> int:
    """Carry on with every erasure that was interrupted, and rebuild when that is due. Returns how many completed."""
    with vault.data.read() as session:
        waiting = session.scalars(select(Erasure.id).where(Erasure.step != ErasureStep.COMPLETED)).all()
        due = (
            Erasure.rebuilt.is_(False),
            Erasure.completed_on <= now.date() - timedelta(days=settings.rebuild_after_days),
        )
        late = session.scalar(select(Erasure.id).where(*due).limit(1))
    completed = _carry_on(vault, waiting, settings=settings, now=now) if waiting else 0
    if late is not None:
        _rebuild(vault)
    return completed


def _carry_on(vault: Vault, erasure_ids: Sequence[UUID], *, settings: Settings, now: datetime) -> int:
    """Do what is left; a store that fails leaves them in progress, to be carried on later."""
    try:
        for erasure_id in erasure_ids:
            _delete(vault, erasure_id, now)
        at_once = vault.data.bytes() <= settings.rebuild_at_once_mib * MIB
        if _rebuild(vault) if at_once else vault.settle():
            return _complete(vault, erasure_ids, now)
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
            gone = {"step": ErasureStep.DELETED, "key_owner": Owner.subject(subject_id).digest.hex()}
            change.session.execute(update(Erasure).where(Erasure.id == erasure_id).values(gone))


def _complete(vault: Vault, erasure_ids: Sequence[UUID], now: datetime) -> int:
    """Write `completed` for those that each store confirms. Returns how many."""
    completed = {"step": ErasureStep.COMPLETED, "key_owner": None, "completed_on": now.date()}
    with vault.data.write() as session:
        gone = (Erasure.id.in_(erasure_ids), Erasure.subject_id.is_(None), Erasure.step != ErasureStep.COMPLETED)
        found = session.execute(select(Erasure.id, Erasure.key_owner).where(*gone)).all()
        confirmed = [
            one.id for one in found if not one.key_owner or not vault.register.holds_key(bytes.fromhex(one.key_owner))
        ]
        session.execute(update(Erasure).where(Erasure.id.in_(confirmed)).values(completed))
    return len(confirmed)


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
