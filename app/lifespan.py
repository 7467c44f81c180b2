"""The life of a created application: its last start steps, the jobs beside the requests, and its end."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio.to_thread
import structlog

from app.compliance.live_requirements.policy import group_warnings
from app.consent.dependencies import ConsentState
from app.jobs import (
    append_log_batch,
    deliver_callbacks,
    maintenance,
    renew_templates,
    scheduler,
    serve_metrics,
    turn_key_encryption_key,
)
from app.kit.errors import OperatorError
from app.kit.version import __version__
from app.startup import Run, prepare
from app.subjects.token_usage import TokenUsage
from app.vault.directory_lock import serving

SWITCH_INTERVAL_S = 0.0005
"""Python's default of 5 ms is paid at each thread change of a request while another thread computes."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Life:
    """The life of the application, from its start steps to its end."""

    state: ConsentState
    token_usage: TokenUsage

    @asynccontextmanager
    async def running(self, *, background: bool) -> AsyncIterator[None]:
        """Take the last start steps, run the jobs beside the requests, and close everything at the end."""
        state = self.state
        settings, vault, engine = state.settings, state.vault, state.engine
        with ExitStack() as held:
            threads = settings.request_threads + state.lanes.own_threads
            anyio.to_thread.current_default_thread_limiter().total_tokens = threads
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            purged = self._prepare(held)
            for warning in group_warnings(engine.operating_point):
                log.warning("the engine misses its target", warning=warning)
            log.info("serving", version=__version__, profile=settings.profile, engine=engine.card.id, purged=purged)
            with (
                serve_metrics.listening(settings.metrics_listen, state.metrics.registry),
                scheduler.running(self._jobs() if background else (), vault.data, state.metrics),
            ):
                yield
            await anyio.to_thread.run_sync(self.token_usage.write_last, vault.data)
            await anyio.to_thread.run_sync(engine.pool.close)
            vault.close()
            log.info("stopped")

    def _prepare(self, held: ExitStack) -> int:
        state = self.state
        try:
            # While the service runs, no restore replaces the data and no second service uses it.
            held.enter_context(serving(state.settings.data_dir, only_one=state.settings.database_url is None))
            return prepare(
                state.vault,
                state.settings,
                Run.SERVE,
                clock=state.clock,
                engine=state.engine,
                facts=state.notice_facts,
            )
        except Exception as error:
            # The text of any other error may be personal.
            reason = str(error) if isinstance(error, OperatorError) else type(error).__name__
            log.error("cannot serve", reason=reason, notes=getattr(error, "__notes__", []))
            raise

    def _jobs(self) -> Sequence[scheduler.ScheduledJob]:
        """Return the jobs in the order in which they are stopped: first the one that sends messages."""
        state = self.state
        settings, vault, clock = state.settings, state.vault, state.clock
        return (
            deliver_callbacks.job(settings, vault, clock=clock),
            renew_templates.job(vault, state.engine, every_s=settings.sweep_interval_s, clock=clock),
            maintenance.job(vault, settings, clock=clock),
            maintenance.upkeep_job(vault, settings, token_usage=self.token_usage, clock=clock),
            append_log_batch.job(vault, settings, clock=clock),
            *turn_key_encryption_key.jobs(vault.register, settings, clock=clock),
        )
