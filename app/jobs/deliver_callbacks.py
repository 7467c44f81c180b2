"""Deliver the messages of the outbox to the callbacks of relying parties."""

from app.callbacks.delivery_worker import DeliveryCounts, DeliveryWorker
from app.callbacks.http_client import CallbackClient
from app.jobs import scheduler
from app.jobs.scheduler import ScheduledJob
from app.kit.clock import Clock, utc_now
from app.settings import Settings
from app.vault.vault import Vault

NAME = "callbacks"
"""The name of the job and of its lock."""


def delivery_worker(settings: Settings, vault: Vault, *, clock: Clock = utc_now) -> DeliveryWorker:
    """Create the delivery worker; it sends nothing yet."""
    return DeliveryWorker(
        vault, CallbackClient(private=settings.callback_private), days=settings.callback_days, clock=clock
    )


def job(settings: Settings, vault: Vault, *, clock: Clock) -> ScheduledJob:
    """Return the job. When the service stops, deliveries in progress are not waited for."""
    worker = delivery_worker(settings, vault, clock=clock)
    return ScheduledJob(name=NAME, every_s=scheduler.POLL_S, run=worker.start_due, interrupt=worker.stop)


def deliver_once(settings: Settings, vault: Vault, *, within_s: float) -> DeliveryCounts:
    """Try every message once. Tries none while the service, or another such run, sends them."""
    worker = delivery_worker(settings, vault)
    with vault.data.lock(NAME) as held:
        return worker.run_once(within_s=within_s, held=held)
