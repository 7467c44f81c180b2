"""What is done without anybody asking: at start, and on a clock."""

from dataclasses import dataclass
from datetime import datetime

from app.consent import upkeep as consent
from app.enrolment import store as enrolment
from app.kit.settings import Settings
from app.parties import service as parties
from app.rights import erasure
from app.subjects import service as subjects
from app.vault.purge import Purge
from app.vault.vault import Vault

PURGES: tuple[Purge, ...] = (subjects.purge_dead, consent.purge_dead, enrolment.purge_dead, parties.purge_dead)
"""From the owner to what is owned."""


BY_DEFAULT = erasure.Rebuilding.of(Settings.model_construct())


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did."""

    purged: int
    erasures_completed: int
    expired: int


def sweep(vault: Vault, *, now: datetime, rebuilding: erasure.Rebuilding = BY_DEFAULT) -> Swept:
    """Finish what a failed commit left, carry on with interrupted erasures, end what is over. Repeating is harmless."""
    swept = Swept(
        purged=purge(vault) if vault.unfinished else 0,
        erasures_completed=erasure.resume(vault, rebuilding=rebuilding, now=now),
        expired=consent.expire(vault, now=now),
    )
    # Somebody may have held up the emptying of the logs after something ended.
    vault.settle()
    return swept


def purge(vault: Vault) -> int:
    """Remove every row whose key is gone: before the service is ready, and after a commit that failed."""
    vault.unfinished = False
    try:
        removed = sum(one(vault) for one in PURGES)
    except BaseException:
        vault.unfinished = True
        raise
    vault.settle()
    return removed
