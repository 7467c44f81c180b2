"""What is done without anybody asking: at start, and on a clock."""

from dataclasses import dataclass
from datetime import datetime

from app.comparisons import maintenance as matching
from app.comparisons import shorten_history
from app.consent import maintenance as consent
from app.db.sqlite.connections import unhurried
from app.kit.crash_points import operation
from app.parties import keys as party_keys
from app.parties import service as parties
from app.rights import erasure, record_expiry
from app.settings import Settings
from app.subjects import maintenance as subjects
from app.subjects import token_expiry
from app.templates import expiry as ending
from app.templates import maintenance as enrolment
from app.transparency.log import signing_keys as ledger
from app.vault import restore_history
from app.vault.dead_rows import Purge
from app.vault.vault import Vault

PURGES: tuple[Purge, ...] = (
    consent.purge_dead,
    subjects.purge_dead,
    enrolment.purge_dead,
    shorten_history.purge_dead,
    parties.purge_dead,
)
"""Consents before people: the proof of a consent is told when it ended, and the rows of the dead take the rest."""

KEYS_IN_USE: tuple[restore_history.InUse, ...] = (
    subjects.keys_in_use,
    enrolment.keys_in_use,
    ledger.keys_in_use,
    matching.keys_in_use,
)


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What a sweep did."""

    purged: int
    erasures_completed: int
    expired: int
    templates_ended: int
    tokens_ended: int
    proofs_deleted: int
    keys_ended: int
    erasures_forgotten: int
    access_counts_deleted: int
    counts_forgotten: int


@operation("sweep")
def run_maintenance(vault: Vault, *, settings: Settings, now: datetime) -> MaintenanceReport:
    """Finish what a failed commit left, carry on with interrupted erasures, end what is over. Repeating is harmless.

    What ends when is said by `retention.policy`. Each part goes a page at a time, in short transactions with the entry
    of what was done: interrupted anywhere, the next sweep goes on from there.
    """
    swept = MaintenanceReport(
        purged=purge_dead_rows(vault, now=now) if vault.unfinished else 0,
        erasures_completed=erasure.resume(vault, settings=settings, now=now),
        expired=consent.end_expired(vault, now=now),
        templates_ended=ending.end_superseded(vault, now=now),
        tokens_ended=token_expiry.end_unused(vault, after_days=settings.token_unused_days, now=now),
        proofs_deleted=consent.delete_old_proofs(vault, retention=settings.proof_retention, now=now),
        keys_ended=party_keys.end_replaced(vault, now=now),
        erasures_forgotten=record_expiry.forget_erasures(vault, keeping=settings.erasure_retention, now=now),
        access_counts_deleted=record_expiry.forget_access_counts(vault, days=settings.access_count_days, now=now),
        counts_forgotten=matching.forget(vault, now=now),
    )
    # Somebody may have held up the emptying of the logs after something ended.
    vault.settle()
    return swept


@operation("purge")
def purge_dead_rows(vault: Vault, *, now: datetime) -> int:
    """Remove every row whose key is gone: before the service is ready, and after a commit that failed."""
    vault.unfinished = False
    try:
        # All of it is looked through, and before the service is ready nobody waits for that.
        with unhurried():
            vault.catch_up()
            removed = delete_dead_rows(vault, now=now)
            enrolment.retire_superseded(vault)
    except BaseException:
        vault.unfinished = True
        raise
    vault.settle()
    return removed


def delete_dead_rows(vault: Vault, *, now: datetime) -> int:
    """Remove every row whose key is gone, and change nothing in the register. Returns how many."""
    return sum(one(vault, now=now) for one in PURGES)


@operation("leaving a history")
def destroy_discarded_keys(vault: Vault) -> int:
    """Destroy, once after a restore, the keys of what was given after the backup. Returns how many.

    At the start, before anybody is answered: a restore that was not meant can be put right until then.
    """
    if restore_history.is_settled(vault):
        return 0
    with unhurried():
        destroyed = restore_history.settle(vault, KEYS_IN_USE)
    vault.settle()
    return destroyed
