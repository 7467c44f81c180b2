"""Erasure, a state machine in the database: intent, deleted, completed. Whatever interrupts it, it goes on from there.

1. *intent* is committed: the person is out of matching, and nobody's token of theirs opens anything.
2. The rows go and the keys are destroyed, in the one order of `Vault.change`; *deleted* is committed with the rows.
3. Both logs are emptied, with nobody holding them up, and a small data store is written anew.
4. Each store is asked whether anything is left: only then is *completed* written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.callbacks import outbox
from app.consent import service as consent
from app.db.sqlite.prepared import within
from app.kit.crash_points import operation
from app.kit.days import in_words
from app.kit.errors import NotFoundError
from app.rights import erasure_counts
from app.rights.tables import Erasure, ErasureStep
from app.settings import MIB, Settings
from app.subjects import service as subjects
from app.transparency.log import entries
from app.transparency.receipts import content as drafting
from app.transparency.receipts import issue as issuing
from app.transparency.verify import receipt as receipts
from app.vault.seal import KekError, SealError
from app.vault.vault import Vault

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kept:
    """What remains after an erasure, and why."""

    what: str
    holds: str
    why: str


TOMBSTONES, LEAVES = (
    Kept(
        what="tombstones",
        holds="the SHA-256 of the random ids that your account, consents and tokens had, and the day; "
        "no id itself, no name, no face, no relying party",
        why="so that restoring an old backup cannot bring you back",
    ),
    Kept(
        what="leaves of the log",
        holds="for each thing that you did, and each use of your face, a SHA-256 of it with a random salt. What it was "
        "and the salt are destroyed: nobody can tell any more what a leaf is of, unless you show a receipt",
        why="so that nobody can rewrite the log unseen, and your receipts stay good",
    ),
)


UNUSED_SPACE = Kept(
    what="unused space of the database file",
    holds="random ids that your rows had may be left there, and sealed bytes whose keys are destroyed; "
    "no name, no face",
    why="the file is large, and is written anew at a quiet time within days; this line goes when it was",
)


def kept(session: Session, erasure: Erasure, settings: Settings, *, today: date) -> tuple[Kept, ...]:
    """Return what remains after this erasure."""
    retention = settings.proof_retention
    proofs = retention and today <= (erasure.completed_on or today) + retention
    return (
        TOMBSTONES,
        _itself(settings.erasure_retention.days),
        LEAVES,
        *((_proofs(retention.days),) if proofs else ()),
        *((_to_be_told(settings),) if outbox.has_messages_of(session, erasure_id=erasure.id) else ()),
        *(() if erasure.rebuilt else (UNUSED_SPACE,)),
    )


def _itself(days: int) -> Kept:
    return Kept(
        what="this erasure",
        holds="its own random id, its state, when it was done, and its receipt; nothing that points at you",
        why=f"so that you can see that it was done, for {in_words(days)} after it was",
    )


def _to_be_told(settings: Settings) -> Kept:
    return Kept(
        what="what a relying party is still to be told",
        holds="for each that you had consented to, and that did not acknowledge yet that this has ended: which one it "
        "is, the random reference that it alone knew you under, the purpose, and the day",
        why=f"so that it learns it (GDPR Art. 19); tried for {settings.callback_days} days at most. This line goes "
        "when it was told, or could not be; the reference then leaves the database file when that is next written anew",
    )


def _proofs(days: int) -> Kept:
    return Kept(
        what="proofs of consent",
        holds="for each consent that you gave: the SHA-256 of its random id, the text you read, the purpose, the "
        "relying party, and the days it was given and ended; not who you are, and no reference to you",
        why=f"so that whoever holds the consent's id can show that it was given, for {in_words(days)} after its end",
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
            held=erasure_counts.held(session, vault.register, subject_id).written(),
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
            completed = _complete(vault, erasure_ids, now)
            # What was known by digests until then goes from the files too.
            vault.settle()
            return completed
    except DBAPIError as error:
        log.error("erasure held up", error=type(error.orig).__name__)
    except (KekError, SealError) as error:
        # Deleted it is; completed it is said to be when that can be signed.
        log.error("receipt of an erasure held up", error=type(error).__name__)
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
        session = change.session
        asked = select(Erasure.subject_id, Erasure.held).where(Erasure.id == erasure_id)
        subject_id, told = session.execute(asked).one()
        if subject_id is not None:
            # As it was when they asked: a crash since may have taken part of it. Of an older version's, what is there.
            before = (
                erasure_counts.Held.read(told) if told else erasure_counts.held(session, vault.register, subject_id)
            )
            consent.end_all_grants(change, subject_id=subject_id, now=now)
            outbox.attach_to_erasure(session, subject_id=subject_id, erasure_id=erasure_id)
            subjects.delete_subject(change, subject_id=subject_id, now=now)
            session.flush()
            held = replace(before, rows_after=erasure_counts.rows(session, subject_id), keys_destroyed_at=now)
            gone = {"step": ErasureStep.DELETED, "held": held.written()}
            session.execute(update(Erasure).where(Erasure.id == erasure_id).values(gone))


def _complete(vault: Vault, erasure_ids: Sequence[UUID], now: datetime) -> int:
    """Write `completed`, with the receipt, for those that each store confirms. Returns how many."""
    completed = 0
    with vault.data.write() as session:
        gone = (Erasure.id.in_(erasure_ids), Erasure.subject_id.is_(None), Erasure.step != ErasureStep.COMPLETED)
        for one in session.scalars(select(Erasure).where(*gone)).all():
            held = erasure_counts.Held.read(one.held)
            keys_after = vault.register.keys_left(held.digests)
            if keys_after:
                continue
            one.step, one.held, one.completed_on = ErasureStep.COMPLETED, None, now.date()
            issued = issuing.sign_receipt(vault, _said(session, vault.settings, one, held, now=now), now=now)
            one.receipt = issued.written().decode()
            session.flush()
            entries.add_pending_leaf(within(session), issued.leaf)
            completed += 1
    return completed


def _said(
    session: Session, settings: Settings, erasure: Erasure, held: erasure_counts.Held, *, now: datetime
) -> receipts.ErasureReceipt:
    """Return what the receipt of an erasure says: that it was done, and not whose."""
    left = kept(session, erasure, settings, today=now.date())
    return drafting.erasure_receipt(
        issuer=issuing.receipt_issuer(settings),
        ids=drafting.ReceiptIds.fresh(),
        requested=erasure.requested_on,
        # Where a crash kept the time from being written down: no later than when it was asked for.
        keys_destroyed=held.keys_destroyed_at or now,
        completed=now,
        stores=held.stores(),
        kept=[receipts.KeptItem(what=one.what, holds=one.holds, why=one.why) for one in left],
    )


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
