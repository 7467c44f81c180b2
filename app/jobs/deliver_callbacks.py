"""Deliver the messages of the outbox to the callbacks of relying parties."""

from app.callbacks.delivery_worker import DeliveryCounts, DeliveryWorker
from app.callbacks.http_client import CallbackClient
from app.jobs import scheduler
from app.jobs.scheduler import ScheduledJob
from app.kit.clock import Clock, utc_now
from app.settings import Settings
from app.vault.directory_lock import DeliveryLock
from app.vault.vault import Vault


def delivery_worker(settings: Settings, vault: Vault, *, clock: Clock = utc_now) -> DeliveryWorker:
    """Create the delivery worker; it sends nothing yet."""
    return DeliveryWorker(
        vault, CallbackClient(private=settings.callback_private), days=settings.callback_days, clock=clock
    )


def job(settings: Settings, vault: Vault, *, clock: Clock) -> ScheduledJob:
    """Return the job. When the service stops, deliveries in progress are not waited for."""
    worker, turn = delivery_worker(settings, vault, clock=clock), DeliveryLock(settings.data_dir)

    def run() -> None:
        if turn.acquire():
            worker.start_due()

    def interrupt() -> None:
        worker.stop()
        turn.close()

    return ScheduledJob(name="callbacks", every_s=scheduler.POLL_S, run=run, interrupt=interrupt)


def deliver_once(settings: Settings, vault: Vault, *, within_s: float) -> DeliveryCounts:
    """Try every message once. Tries none while the service, or another such run, sends them."""
    worker, turn = delivery_worker(settings, vault), DeliveryLock(settings.data_dir)
    try:
        if not turn.acquire():
            worker.stop()
        return worker.run_once(within_s=within_s)
    finally:
        turn.close()
