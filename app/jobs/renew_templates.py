"""Renew templates of a replaced engine from stored photos, while no request needs the engine."""

import threading
from dataclasses import asdict, dataclass, field

import structlog

from app.db.store import Held
from app.faces.service import RunningEngine
from app.jobs.scheduler import ScheduledJob
from app.kit.clock import Clock
from app.templates import coverage, renewal
from app.vault.vault import Vault

QUIET_POLL_S = 0.05
"""Seconds between two checks whether the engine is idle."""

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class TemplateRenewal:
    """Renews templates, one photo at a time."""

    vault: Vault
    engine: RunningEngine
    clock: Clock
    _stopping: threading.Event = field(default_factory=threading.Event)
    _labels_checked: bool = False

    def run(self, _held: Held) -> None:
        """Renew every template that can be renewed now."""
        if not self._labels_checked:
            # It opens every template: too slow for the start of the service.
            self._labels_checked = True
            coverage.report_mislabelled(self.vault)
        run = renewal.RenewalRun(
            vault=self.vault, engine=self.engine, clock=self.clock, wait_for_turn=self._wait_until_idle
        )
        if (done := renewal.renew_templates(run)) != renewal.RenewalCounts():
            log.info("templates renewed", **asdict(done))

    def stop(self) -> None:
        """End the run in progress before its next photo."""
        self._stopping.set()

    def _wait_until_idle(self) -> bool:
        """Wait for an idle engine; False if the service stops."""
        while not self.engine.pool.is_idle() and not self._stopping.is_set():
            self._stopping.wait(QUIET_POLL_S)
        return not self._stopping.is_set()


def job(vault: Vault, engine: RunningEngine, *, every_s: float, clock: Clock) -> ScheduledJob:
    """Return the job."""
    renewal_of_templates = TemplateRenewal(vault=vault, engine=engine, clock=clock)
    return ScheduledJob(
        name="renewal", every_s=every_s, run=renewal_of_templates.run, interrupt=renewal_of_templates.stop
    )
