"""Restore a backup, so that everything that ended since stays ended (law 3).

The register records every end, with two exceptions that only the data has: an erasure in progress, and an end that a
crash kept from the register. So the data that will be replaced finishes these first, if it can be read. Then dead rows
are deleted from the backup, the backup replaces the data, and expired consents end.

Changes since the backup are lost; `app.vault.restore_history` keeps them from coming back.
"""

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from app.backup import stage as staging
from app.db.errors import AlteredStoreError
from app.db.migrate import at_head, knows, refuse_newer, revision, upgrade
from app.jobs.maintenance import delete_dead_rows, purge_dead_rows, run_maintenance
from app.kit.clock import Clock
from app.kit.crash_points import operation, step
from app.kit.progress import Progress
from app.rights.tables import Erasure, ErasureStep
from app.settings import Settings
from app.startup import Run, prepare
from app.templates import coverage
from app.transparency.log import batch, signing_keys
from app.transparency.log import service as transparency_log
from app.vault import authenticity, restore_history
from app.vault.authentic_rows import SIGNED_SINCE, sign_older, sign_older_once
from app.vault.authenticity import MacUse
from app.vault.backup_manifest import BackupError, Manifest
from app.vault.directory_lock import STAGE, alone
from app.vault.open import DATA_FILE, KEK_FILE, SchemaError, is_new, open_vault, opened_register
from app.vault.register import KeyGoneError
from app.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The result of a restore."""

    backup: Manifest
    purged: int
    """Dead rows that were deleted from the backup."""
    expired: int
    """Consents that had expired and were ended now."""
    replaced_data_was_read: bool
    """False if the replaced data was damaged, or its schema changed: an erasure may have been in progress there."""


@operation("restore")
def restore(
    settings: Settings, *, backup: Path, now: Clock, progress: Progress, unauthenticated: bool = False
) -> RestoreResult:
    """Replace the data with a backup. After an error the data is unchanged.

    Args:
        unauthenticated: whether the operator admits a backup of an older version, which has no authentication code.

    Raises:
        AlteredStoreError: another program changed the schema of the backup or of the register.
        BackupError: it is damaged, foreign, not authentic, newer than this version, or belongs to a discarded timeline.
        ForeignRegisterError: the register is older than the backup.
        NewerSchemaError: the register is newer than this version.
        InUseError: the service or a command uses the data.
        KekError: the key-encryption key does not belong to the register.
    """
    _check_kek_exists(settings)
    with alone(settings.data_dir):
        try:
            authenticate = partial(_authenticate, settings, unauthenticated=unauthenticated)
            manifest = staging.stage(backup, settings=settings, authenticate=authenticate, progress=progress)
            update = {"data_dir": settings.data_dir / STAGE, "keys_dir": settings.register_dir, "ending_ballast_mib": 0}
            staged = settings.model_copy(update=update)
            with closing(open_vault(staged)) as vault:
                _prepare(vault, staged, manifest, clock=now)
                _check_labels(vault, progress)
                erasures = _finish_erasures(settings, now=now())
                progress("deleting everything that ended since")
                purged = delete_dead_rows(vault, settings=settings, now=now())
                _keep_erasures(vault, erasures or ())
                restore_history.mark(vault, made_at=manifest.made_at, sha256=manifest.sha256, now=now())
                transparency_log.record_restore(vault, made_at=manifest.made_at, now=now())
                step("dead rows of the stage deleted")
            staging.put_in_place(settings.data_dir, progress=progress)
        finally:
            staging.clear(settings.data_dir)
        with closing(open_vault(settings)) as vault:
            report = run_maintenance(vault, settings=settings, now=now())
    return RestoreResult(manifest, purged, report.expired, replaced_data_was_read=erasures is not None)


def _check_kek_exists(settings: Settings) -> None:
    file = settings.kek_file or settings.register_dir / KEK_FILE
    # Otherwise opening the stores would create one, which opens no key.
    if settings.kek is None and not file.exists():
        msg = f"there is no key-encryption key in {file}: without it no key of the register opens"
        raise BackupError(msg)


def _authenticate(settings: Settings, manifest: Manifest, *, unauthenticated: bool) -> None:
    """Refuse a manifest that was not made with this register."""
    if manifest.format == 1:
        if not unauthenticated:
            msg = (
                "the backup has no authentication code: an older version of Mien made it, or another program. If you "
                "are sure that only you could write it, add --unauthenticated"
            )
            raise BackupError(msg)
        return
    with opened_register(settings) as register:
        refuse_newer(register.store)
        if not at_head(register.store):
            upgrade(register.store)
        register.check_origin()
        with suppress(KeyGoneError):
            if manifest.is_authentic(authenticity.mac_key(register, MacUse.MANIFEST)):
                return
    msg = (
        "the backup is not authentic: another program changed its manifest or made it. Nothing was restored. Use "
        "another backup, and find out who can write there"
    )
    raise BackupError(msg)


def _prepare(vault: Vault, staged: Settings, manifest: Manifest, *, clock: Clock) -> None:
    """Bring the stage to this version's schema, and refuse one of a discarded timeline."""
    prepare(vault, staged, Run.RESTORE, clock=clock)
    if manifest.schema < SIGNED_SINCE:
        with vault.data.write() as session:
            sign_older(session, schema=manifest.schema)
    step("stage migrated")
    restore_history.refuse_discarded(vault, made_at=manifest.made_at, sha256=manifest.sha256)


def _check_labels(vault: Vault, progress: Progress) -> None:
    """Refuse a backup with templates whose rows name the wrong engine."""
    progress("opening templates")
    if found := coverage.count_mislabelled(vault, progress=progress):
        msg = (
            f"in the backup {found} templates are labelled with another engine than their own: a program other than "
            "Mien changed it. Nothing was restored. Use another backup (docs/how-to/change-the-engine.md)"
        )
        raise BackupError(msg)


def _finish_erasures(settings: Settings, *, now: datetime) -> Sequence[Erasure] | None:
    """Finish the erasures of the present data. Returns all completed ones; None if the data cannot be read."""
    file = settings.data_dir / DATA_FILE
    if not file.exists() or not file.stat().st_size:
        return ()
    try:
        with closing(open_vault(settings)) as vault:
            return () if is_new(vault) else _finish(vault, settings=settings, now=now)
    except AlteredStoreError:
        return None
    except DBAPIError as error:
        if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF not in staging.UNREADABLE:
            raise
        return None


def _keep_erasures(vault: Vault, erasures: Sequence[Erasure]) -> None:
    """Copy completed erasures into the backup: their former subjects look them up by id."""
    with vault.data.write() as session:
        for erasure in erasures:
            session.merge(erasure)


def _finish(vault: Vault, *, settings: Settings, now: datetime) -> Sequence[Erasure]:
    vault.check_bound()
    if not knows("mien", revision(vault.data)):
        msg = "a newer version of Mien wrote the data in MIEN_DATA_DIR; use that version, or move the data away"
        raise SchemaError(msg)
    upgrade(vault.data)
    sign_older_once(vault.data, vault.register, now=now)
    vault.finish_endings()
    signing_keys.begin_log(vault, now=now)
    with vault.data.read() as session:
        waiting = session.scalar(select(Erasure.id).where(Erasure.step != ErasureStep.COMPLETED).limit(1))
    if waiting is not None:
        _finish_waiting(vault, settings=settings, now=now)
    # Last: leaves that receipts promise to the transparency log are only in the data that will be replaced.
    batch.append_batch(vault, settings=settings, now=now, at_once=True)
    with vault.data.read() as session:
        return session.scalars(select(Erasure).where(Erasure.step == ErasureStep.COMPLETED)).all()


def _finish_waiting(vault: Vault, *, settings: Settings, now: datetime) -> None:
    purge_dead_rows(vault, settings=settings, now=now)
    run_maintenance(vault, settings=settings, now=now)
    with vault.data.read() as session:
        if session.scalar(select(Erasure.id).where(Erasure.step == ErasureStep.INTENT).limit(1)) is not None:
            msg = "an erasure cannot be finished; read the application log for the reason. Nothing was restored"
            raise BackupError(msg)
