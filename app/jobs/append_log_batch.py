"""Append the pending leaves to the transparency log, one batch for each interval."""

from app.jobs import scheduler
from app.jobs.scheduler import Job
from app.kit.clock import Clock
from app.transparency.log import batch
from app.vault.vault import Vault


def job(vault: Vault, *, interval_s: float, clock: Clock) -> Job:
    """Return the job. It runs far more often than a batch is due, so that batches follow the clock closely."""
    return Job(
        name="batch", every_s=min(scheduler.POLL_S, interval_s), run=lambda: batch.append_batch(vault, now=clock())
    )
