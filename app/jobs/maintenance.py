"""Apply the retention rules and finish interrupted work: at the start, on a clock, and with `mien sweep`."""

from dataclasses import dataclass
from datetime import datetime

from app.comparisons import maintenance as comparisons
from app.comparisons import shorten_history
from app.consent import maintenance as consent
from app.consent import proofs
from app.db.store import Held, unlimited_reads
from app.jobs.scheduler import ScheduledJob
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.parties import keys as party_keys
from app.parties import maintenance as parties
from app.rights import erasure, record_expiry
from app.settings import Settings
from app.subjects import maintenance as subjects
from app.subjects import token_expiry
from app.subjects.token_usage import TokenUsage
from app.templates import expiry
from app.templates import maintenance as templates
from app.transparency.log import signing_keys
from app.vault import authenticity, kept_answers, restore_history
from app.vault.ending import ends, run_ending
from app.vault.vault import Vault

KEYS_IN_USE: tuple[restore_history.KeysInUse, ...] = (
    subjects.keys_in_use,
    templates.keys_in_use,
    signing_keys.keys_in_use,
    comparisons.keys_in_use,
    authenticity.keys_in_use,
)


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """Counts of the rows and keys that one maintenance run handled."""

    purged: int
    erasures_completed: int
    expired: int
    templates_ended: int
    photos_ended: int
    tokens_ended: int
    proofs_deleted: int
    keys_ended: int
    erasures_forgotten: int
    access_counts_deleted: int
    counts_forgotten: int
    kept_answers_deleted: int


@operation("maintenance")
@ends
def run_maintenance(vault: Vault, *, settings: Settings, now: datetime) -> MaintenanceReport:
    """Retry failed commits, resume interrupted erasures, and apply the retention rules. Repeating is harmless.

    Each part works in pages, in short transactions that include the transparency log entries: after an interruption the
    next run continues.
    """
    report = MaintenanceReport(
        purged=purge_dead_rows(vault, settings=settings, now=now) if vault.unfinished else 0,
        erasures_completed=erasure.resume(vault, settings=settings, now=now),
        expired=consent.end_expired(vault, settings=settings, now=now),
        templates_ended=expiry.end_superseded_templates(vault, now=now),
        photos_ended=expiry.end_photos_without_template(vault, now=now),
        tokens_ended=token_expiry.end_unused(vault, after_days=settings.token_unused_days, now=now),
        proofs_deleted=proofs.delete_old(vault, retention=settings.proof_retention, now=now),
        keys_ended=party_keys.end_replaced(vault, now=now),
        erasures_forgotten=record_expiry.delete_old_erasures(vault, retention=settings.erasure_retention, now=now),
        access_counts_deleted=record_expiry.delete_old_access_counts(vault, days=settings.access_count_days, now=now),
        counts_forgotten=comparisons.delete_expired_counts(vault, settings, now=now),
        kept_answers_deleted=kept_answers.delete_expired(vault, now=now),
    )
    # A reader may have blocked the checkpoint that follows each ending.
    vault.checkpoint_all()
    return report


def job(vault: Vault, settings: Settings, *, clock: Clock) -> ScheduledJob:
    """Return the job. When it takes over from another process, it finishes the endings that process may have left."""

    def expect_unfinished() -> None:
        vault.unfinished = True

    return ScheduledJob(
        name="sweep",
        every_s=settings.sweep_interval_s,
        run=lambda _held: run_maintenance(vault, settings=settings, now=clock()),
        take_over=expect_unfinished,
    )


def upkeep_job(vault: Vault, settings: Settings, *, token_usage: TokenUsage, clock: Clock) -> ScheduledJob:
    """Return the job about the memory of this process: uses of tokens, forged rows, and endings that failed here."""

    def run(_held: Held) -> None:
        run_ending(vault, lambda: token_usage.write(vault.data))
        if vault.unfinished:
            purge_dead_rows(vault, settings=settings, now=clock())
        vault.codes.find_forged(vault.data)

    return ScheduledJob(name="upkeep", every_s=settings.sweep_interval_s, run=run, everywhere=True)


@operation("deleting dead rows")
@ends
def purge_dead_rows(vault: Vault, *, settings: Settings, now: datetime) -> int:
    """Finish key work that failed or was interrupted, and delete dead rows. Returns the number of rows.

    Runs before the service is ready, and after a commit that failed.
    """
    vault.unfinished = False
    try:
        # It reads every row; before the service is ready no request waits.
        with unlimited_reads():
            vault.retry_pending_key_work()
            removed = delete_dead_rows(vault, settings=settings, now=now)
            templates.drop_superseded_keys(vault)
    except BaseException:
        vault.unfinished = True
        raise
    vault.checkpoint_all()
    return removed


def delete_dead_rows(vault: Vault, *, settings: Settings, now: datetime) -> int:
    """Delete dead rows and leave the register as it is. Returns the number of rows."""
    # Consents come first: deleting the rows of a subject would also delete them, before their proofs have their end.
    return (
        consent.purge_dead(vault, settings=settings, now=now)
        + subjects.purge_dead(vault, settings=settings, now=now)
        + templates.purge_dead(vault, now=now)
        + shorten_history.purge_dead(vault, now=now)
        + parties.purge_dead(vault, now=now)
    )


@operation("destroying discarded keys")
@ends
def destroy_discarded_keys(vault: Vault) -> int:
    """Destroy, once after a restore, the keys that were made after the backup. Returns the number of keys.

    Runs when the service starts: until then the operator can undo a mistaken restore.
    """
    if not restore_history.has_new_restoration(vault):
        return 0
    with unlimited_reads():
        destroyed = restore_history.destroy_discarded_keys(vault, KEYS_IN_USE)
    vault.checkpoint_all()
    return destroyed
