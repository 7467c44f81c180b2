"""What is done without anybody asking: at start, and on a clock."""

from dataclasses import dataclass
from datetime import datetime

from app.consent import upkeep as consent
from app.enrolment import store as enrolment
from app.parties import service as parties
from app.rights import erasure
from app.subjects import service as subjects
from app.vault.purge import Purge
from app.vault.vault import Vault

PURGES: tuple[Purge, ...] = (subjects.purge_dead, consent.purge_dead, enrolment.purge_dead, parties.purge_dead)
"""From the owner to what is owned."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did."""

    purged: int
    expired: int
    erasures_completed: int


def sweep(vault: Vault, *, now: datetime) -> Swept:
    """Finish what a failed commit left, end what is over, carry on with interrupted erasures. Repeating is harmless."""
    return Swept(
        purged=purge(vault) if vault.unfinished else 0,
        expired=consent.expire(vault, now=now),
        erasures_completed=erasure.resume(vault, now=now),
    )


def purge(vault: Vault) -> int:
    """Remove every row whose key is gone: before the service is ready, and after a commit that failed."""
    vault.unfinished = False
    removed = sum(one(vault) for one in PURGES)
    vault.settle()
    return removed
