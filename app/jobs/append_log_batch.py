"""Append the pending leaves to the transparency log, one batch for each interval."""

from app.jobs import scheduler
from app.jobs.scheduler import ScheduledJob
from app.kit.clock import Clock
from app.settings import Settings
from app.transparency.log import batch
from app.vault.vault import Vault


def job(vault: Vault, settings: Settings, *, clock: Clock) -> ScheduledJob:
    """Return the job. It runs far more often than a batch is due, so that batches follow the clock closely."""
    return ScheduledJob(
        name="batch",
        every_s=min(scheduler.POLL_S, settings.log_interval),
        run=lambda _held: batch.append_batch(vault, settings=settings, now=clock()),
    )
