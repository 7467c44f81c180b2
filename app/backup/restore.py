"""Restoring a backup, so that everything that ended since it was made stays ended (law 3).

What ended is known from the register, which never goes back in time, but for two things, which are written in the data
only: an erasure that was asked for and is not done yet, and an ending that a crash kept from the register. So the data
that is to be replaced finishes those first, if it can be read. Then the backup loses its dead rows, before it takes the
place of the data, and what is over by the clock ends.

What was given since the backup is lost; `app.vault.restore_history` sees to it that it does not come back.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from app.backup import stage as staging
from app.db.migrate import knows, revision, upgrade
from app.jobs.maintenance import delete_dead_rows, purge_dead_rows, run_maintenance
from app.kit.crash_points import operation, step
from app.kit.progress import Tell
from app.rights.tables import Erasure, ErasureStep
from app.settings import Settings
from app.templates import coverage
from app.transparency.log import batch, signing_keys
from app.transparency.log import service as ledger
from app.vault import restore_history
from app.vault.backup_manifest import BackupError, Manifest
from app.vault.directory_lock import STAGE, alone
from app.vault.open import DATA_FILE, KEK_FILE, SchemaError, is_new, open_vault
from app.vault.vault import ForeignRegisterError, Vault


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore."""

    backup: Manifest
    purged: int
    """Rows of what had ended since the backup."""
    expired: int
    """Consents that had expired and were not yet ended."""
    replaced_data_was_read: bool
    """False if the data that was replaced was damaged: whether an erasure was in progress there is not known."""


@operation("restore")
def restore(settings: Settings, *, backup: Path, now: Callable[[], datetime], tell: Tell) -> Restored:
    """Put a backup in the place of the data.

    Raises:
        BackupError: it is damaged, foreign, newer than this version, or of a history that was left. The data is as it
            was.
        InUseError: the service or a command uses the data.
        KekError: the key-encryption key is not the register's.
    """
    _check_key_is_there(settings)
    with alone(settings.data_dir):
        try:
            said = staging.stage(backup, data_dir=settings.data_dir, register_dir=settings.register_dir, tell=tell)
            staged = settings.model_copy(
                update={"data_dir": settings.data_dir / STAGE, "keys_dir": settings.register_dir}
            )
            with _opened(staged) as vault:
                _bring_to_this_version(vault)
                restore_history.refuse_left(vault, said)
                _check_log(vault, now=now())
                _check_labels(vault, tell)
                erasures = _finish_erasures(settings, now=now())
                tell("removing what has ended since")
                purged = delete_dead_rows(vault, now=now())
                _keep_erasures(vault, erasures or ())
                restore_history.mark(vault, said, now=now())
                ledger.record_restore(vault, made_at=said.made_at, now=now())
                step("stage purged")
            staging.put_in_place(settings.data_dir, tell=tell)
        finally:
            staging.clear(settings.data_dir)
        with _opened(settings) as vault:
            swept = run_maintenance(vault, settings=settings, now=now())
    return Restored(said, purged=purged, expired=swept.expired, replaced_data_was_read=erasures is not None)


def _check_key_is_there(settings: Settings) -> None:
    file = settings.kek_file or settings.register_dir / KEK_FILE
    # Opening the stores would make one, which opens nothing.
    if settings.kek is None and not file.exists():
        msg = f"there is no key-encryption key in {file}: without it nothing in the register opens"
        raise BackupError(msg)


@contextmanager
def _opened(settings: Settings) -> Iterator[Vault]:
    vault = open_vault(settings)
    try:
        yield vault
    finally:
        vault.data.close()
        vault.register.store.close()


def _bring_to_this_version(vault: Vault) -> None:
    if not knows("register", revision(vault.register.store)):
        msg = "the register is of a newer version of Mien; use that version"
        raise SchemaError(msg)
    upgrade(vault.data)
    upgrade(vault.register.store)
    vault.check_bound()
    step("stage at this version")


def _check_log(vault: Vault, *, now: datetime) -> None:
    """Refuse a backup that has seen another log than the register's: the present one must begin with all it saw."""
    signing_keys.begin_log(vault, now=now)
    try:
        ledger.check_not_rolled_back(vault)
    except ForeignRegisterError as error:
        raise BackupError(str(error)) from error


def _check_labels(vault: Vault, tell: Tell) -> None:
    """Refuse a backup with templates whose rows say that they are of another engine than they are."""
    tell("opening templates")
    if found := coverage.count_mislabelled(vault, tell=tell):
        msg = (
            f"in the backup {found} templates are labelled with another engine than the one they were made by: "
            "something other than Mien wrote to it. Nothing was restored. Use another backup "
            "(docs/how-to/change-the-engine.md)"
        )
        raise BackupError(msg)


def _finish_erasures(settings: Settings, *, now: datetime) -> Sequence[Erasure] | None:
    """Finish what people asked the data that is to be replaced for; returns all that was, None if it cannot be read."""
    file = settings.data_dir / DATA_FILE
    if not file.exists() or not file.stat().st_size:
        return ()
    try:
        with _opened(settings) as vault:
            return () if is_new(vault) else _finish(vault, settings=settings, now=now)
    except DBAPIError as error:
        if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF not in staging.UNREADABLE:
            raise
        return None


def _keep_erasures(vault: Vault, erasures: Sequence[Erasure]) -> None:
    """Bring into the stage what was erased since the backup: its people have nothing else to look it up by."""
    with vault.data.write() as session:
        for one in erasures:
            session.merge(one)


def _finish(vault: Vault, *, settings: Settings, now: datetime) -> Sequence[Erasure]:
    vault.check_bound()
    if not knows("mien", revision(vault.data)):
        msg = "the data in MIEN_DATA_DIR is of a newer version of Mien; use that version, or move the data away"
        raise SchemaError(msg)
    upgrade(vault.data)
    vault.finish_endings()
    signing_keys.begin_log(vault, now=now)
    with vault.data.read() as session:
        waiting = session.scalar(select(Erasure.id).where(Erasure.step != ErasureStep.COMPLETED).limit(1))
    if waiting is not None:
        _finish_waiting(vault, settings=settings, now=now)
    # Last: what was promised to be in the log is nowhere else than in the data that is about to go.
    batch.append_batch(vault, now=now, at_once=True)
    with vault.data.read() as session:
        return session.scalars(select(Erasure).where(Erasure.step == ErasureStep.COMPLETED)).all()


def _finish_waiting(vault: Vault, *, settings: Settings, now: datetime) -> None:
    purge_dead_rows(vault, now=now)
    run_maintenance(vault, settings=settings, now=now)
    with vault.data.read() as session:
        if session.scalar(select(Erasure.id).where(Erasure.step == ErasureStep.INTENT).limit(1)) is not None:
            msg = "an erasure is in progress and cannot be finished; see the log. Nothing was restored"
            raise BackupError(msg)
