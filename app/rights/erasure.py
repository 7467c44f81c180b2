"""Erasure (GDPR Art. 17) in recorded steps. After an interruption it resumes from the last recorded step.

1. `intent`: the subject is out of matching, and none of their tokens works.
2. `deleted`: their rows are deleted and their keys destroyed, in the order of `Vault.change`.
3. Both write-ahead logs are emptied, and a small data store is rebuilt.
4. `completed`: every store confirmed that nothing is left, and the receipt is signed.
"""

import tomllib
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.callbacks import outbox
from app.consent import service as consent
from app.kit.crash_points import operation
from app.kit.errors import NotFoundError
from app.rights import retention
from app.rights.erasure_counts import ErasureCounts, count_personal_data, count_rows
from app.rights.retention import fill_in
from app.rights.tables import Erasure, ErasureStep
from app.settings import MIB, Settings
from app.subjects import service as subjects
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.transparency.receipts import content, issue
from app.transparency.verify.receipt import ErasureReceipt, KeptItem
from app.vault.ending import ends
from app.vault.seal import KekError, SealError
from app.vault.vault import Vault

log = structlog.get_logger()

_KEPT = tomllib.loads(Path(__file__).with_name("erasure_kept.toml").read_text("utf-8"))


def list_kept(session: Session, erasure: Erasure, settings: Settings, *, today: date) -> tuple[KeptItem, ...]:
    """Return the data that remains after this erasure."""
    proof_retention, on_server = settings.proof_retention, settings.database_url is not None
    absent = {
        "proofs": not proof_retention or today > (erasure.completed_on or today) + proof_retention,
        "messages": not outbox.has_messages_of(session, erasure_id=erasure.id),
        "unused_space": on_server or erasure.rebuilt,
        "old_versions": not on_server or erasure.rebuilt,
        "server_space": not on_server,
    }
    every = f"after {settings.kek_turn_hours} hours" if settings.kek_turn_hours else "when the controller asks for it"
    words = retention.days_in_words(settings) | {"turn": every}
    return tuple(KeptItem(**fill_in(item, words)) for name, item in _KEPT.items() if not absent.get(name))


@operation("erasure")
@ends
def erase(vault: Vault, *, subject_id: UUID, settings: Settings, now: datetime) -> Erasure:
    """Erase a subject now. From the first commit on they are out of matching, whichever step fails later."""
    erasure = _record_intent(vault, subject_id, now)
    _run(vault, [erasure.id], settings=settings, now=now)
    try:
        return get(vault, erasure_id=erasure.id)
    except DBAPIError:
        # The subject has no other access left, so they must get the address of the erasure.
        return erasure


@operation("erasure")
@ends
def resume(vault: Vault, *, settings: Settings, now: datetime) -> int:
    """Resume every interrupted erasure, and rebuild the data store if that is due. Returns the number completed."""
    with vault.data.read() as session:
        unfinished = session.scalars(select(Erasure.id).where(Erasure.step != ErasureStep.COMPLETED)).all()
        due = (
            Erasure.rebuilt.is_(False),
            Erasure.completed_on <= now.date() - timedelta(days=settings.rebuild_after_days),
        )
        rebuild_due = session.scalar(select(Erasure.id).where(*due).limit(1)) is not None
    completed = _run(vault, unfinished, settings=settings, now=now) if unfinished else 0
    if rebuild_due and vault.data.removes_bytes:
        _rebuild(vault)
    elif rebuild_due and settings.kek is None:
        _note_turn(vault)
    return completed


def count_in_progress(session: Session) -> int:
    """Return the number of erasures that some store has not confirmed yet."""
    return session.scalar(select(func.count(Erasure.id)).where(Erasure.completed_on.is_(None))) or 0


def _run(vault: Vault, erasure_ids: Sequence[UUID], *, settings: Settings, now: datetime) -> int:
    """Run the remaining steps; if a store fails, the erasures stay in progress and resume later."""
    try:
        for erasure_id in erasure_ids:
            _delete_rows_and_keys(vault, erasure_id, now)
        if _empty_files(vault, settings):
            completed = _record_completion(vault, erasure_ids, settings=settings, now=now)
            # The counts held the digests of the keys until now; they must leave the files too.
            vault.checkpoint_all()
            return completed
    except DBAPIError as error:
        log.error("erasure held up", error=type(error.orig).__name__)
    except (KekError, SealError) as error:
        # The data is deleted; `completed` waits until the receipt can be signed.
        log.error("receipt of an erasure held up", error=type(error).__name__)
    return 0


def _record_intent(vault: Vault, subject_id: UUID, now: datetime) -> Erasure:
    """Take the subject out of matching and record `intent`, with the counts for the receipt."""
    with vault.data.write() as session:
        subjects.begin_erasure(session, subject_id)
        erasure = Erasure(
            id=uuid4(),
            subject_id=subject_id,
            step=ErasureStep.INTENT,
            held=count_personal_data(session, vault.register, subject_id).model_dump_json(),
            rebuilt=False,
            requested_on=now.date(),
            completed_on=None,
        )
        session.add(erasure)
    return erasure


@ends
def _delete_rows_and_keys(vault: Vault, erasure_id: UUID, now: datetime) -> None:
    """Delete the subject's rows, destroy their keys, and record `deleted` in the same transaction."""
    with vault.change() as change:
        session = change.session
        stored = select(Erasure.subject_id, Erasure.held).where(Erasure.id == erasure_id)
        subject_id, counted = session.execute(stored).one()
        if subject_id is None:
            return
        # A crash may have deleted a part since; only a row of version 0.1 has no counts.
        counts = (
            ErasureCounts.model_validate_json(counted)
            if counted
            else count_personal_data(session, vault.register, subject_id)
        )
        consent.end_all_grants(change, subject_id=subject_id, now=now)
        outbox.attach_to_erasure(session, subject_id=subject_id, erasure_id=erasure_id)
        subjects.delete_subject(change, subject_id=subject_id, now=now)
        session.flush()
        after = {"rows_after": count_rows(session, subject_id), "keys_destroyed_at": now}
        values = {"step": ErasureStep.DELETED, "held": counts.model_copy(update=after).model_dump_json()}
        session.execute(update(Erasure).where(Erasure.id == erasure_id).values(values))


def _empty_files(vault: Vault, settings: Settings) -> bool:
    """Remove deleted data from the files: rebuild a small store, else empty the write-ahead logs.

    A server keeps deleted bytes. `list_kept` says so, until the next turn of the key-encryption key.
    """
    if not vault.data.removes_bytes:
        return True
    return _rebuild(vault) if vault.data.bytes() <= settings.rebuild_at_once_mib * MIB else vault.checkpoint_all()


@ends
def _rebuild(vault: Vault) -> bool:
    """Rebuild the data store, and record it for the erasures whose rows were deleted before."""
    with vault.data.read() as session:
        deleted = (Erasure.rebuilt.is_(False), Erasure.subject_id.is_(None))
        erasure_ids = session.scalars(select(Erasure.id).where(*deleted)).all()
    if not vault.vacuum_and_checkpoint():
        return False
    with vault.data.write() as session:
        session.execute(update(Erasure).where(Erasure.id.in_(erasure_ids)).values(rebuilt=True))
    return True


@ends
def _note_turn(vault: Vault) -> None:
    """Record for earlier erasures that the key-encryption key turned since: what a server keeps opens no more."""
    if vault.register.keks.source.interrupted:
        return
    with vault.register.store.read() as session:
        turned = entries.find_last_time(session, LoggedAct.KEY_ENCRYPTION_KEY_ROTATED, LoggedAct.LOG_BEGUN)
    with vault.data.write() as session:
        # A whole day later: an erasure has no finer time.
        before = (Erasure.rebuilt.is_(False), Erasure.completed_on < turned.date())
        session.execute(update(Erasure).where(*before).values(rebuilt=True))


@ends
def _record_completion(vault: Vault, erasure_ids: Sequence[UUID], *, settings: Settings, now: datetime) -> int:
    """Record `completed` with the receipt, for each erasure whose keys are all gone. Returns the number."""
    completed = 0
    with vault.data.write() as session:
        deleted = (Erasure.id.in_(erasure_ids), Erasure.subject_id.is_(None), Erasure.step != ErasureStep.COMPLETED)
        for erasure in session.scalars(select(Erasure).where(*deleted)).all():
            # Version 0.1 stored no counts.
            counts = ErasureCounts.model_validate_json(erasure.held or "{}")
            if vault.register.keys_left([bytes.fromhex(owner) for owner in counts.owners]):
                continue
            erasure.step, erasure.held, erasure.completed_on = ErasureStep.COMPLETED, None, now.date()
            receipt = _fill_in_receipt(session, settings, erasure, counts, now=now)
            issued = issue.sign_receipt(vault, receipt, settings=settings, now=now)
            erasure.receipt = issued.to_json().decode()
            session.flush()
            entries.add_pending_leaf(session, issued.leaf)
            completed += 1
    return completed


def _fill_in_receipt(
    session: Session, settings: Settings, erasure: Erasure, counts: ErasureCounts, *, now: datetime
) -> ErasureReceipt:
    """Return the receipt: it proves that an erasure was done, and does not name the subject."""
    return content.erasure_receipt(
        settings=settings,
        requested=erasure.requested_on,
        # Unknown only for an erasure begun by version 0.1; the time now is then an upper bound.
        keys_destroyed=counts.keys_destroyed_at or now,
        completed=now,
        stores=counts.stores(),
        kept=list_kept(session, erasure, settings, today=now.date()),
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
