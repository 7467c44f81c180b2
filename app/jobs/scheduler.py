"""Repeat jobs on a clock, each in a thread of its own, for as long as the service runs.

Of several processes, one at a time runs a job: the one that holds the lock with the job's name. It keeps the lock until
it stops. If it dies, the lock ends with it, and another process goes on.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import structlog

from app.db.store import Held, Store
from app.kit.errors import OperatorError
from app.web.metrics import Metrics

POLL_S = 1.0
"""Seconds between two checks whether a log batch or a callback is due."""
TAKE_OVER_S = 2.0
"""Seconds between two attempts to get the lock of a job that another process runs."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledJob:
    """Work that is repeated until the service stops."""

    name: str
    every_s: float
    """Seconds between the end of one run and the start of the next."""
    run: Callable[[Held], object]
    """Does the work. Its argument is true as long as no other process does it."""
    interrupt: Callable[[], None] = lambda: None
    """Called when the service stops, before it waits for the run in progress: makes that return early."""
    take_over: Callable[[], None] = lambda: None
    """Called before the first run if another process had the job: that process may have left work."""
    everywhere: bool = False
    """Whether each process runs it, because it is about the memory of the process."""


@contextmanager
def running(jobs: Sequence[ScheduledJob], store: Store, metrics: Metrics) -> Iterator[None]:
    """Start every job at once; at the end of the block stop them in the same order."""
    started = [_Repetition(job, store, metrics) for job in jobs]
    for one in started:
        one.thread.start()
    try:
        yield
    finally:
        for one in started:
            one.stop()


@dataclass(slots=True)
class _Repetition:
    """The repetition of one job in its thread."""

    job: ScheduledJob
    store: Store
    metrics: Metrics
    stopped: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._take_turns, name=self.job.name, daemon=True)

    def stop(self) -> None:
        """Stop the job, and give its lock to another process."""
        self.stopped.set()
        self.job.interrupt()
        self.thread.join()

    def _take_turns(self) -> None:
        elsewhere = False
        while not self.stopped.is_set():
            try:
                with self._lock() as held:
                    if held and elsewhere:
                        self.job.take_over()
                    elsewhere = not held
                    self._repeat(held)
            except Exception as error:  # noqa: BLE001 - the next attempt may succeed
                log.error("job has no lock", job=self.job.name, error=type(error).__name__)
            self.metrics.forget_job(self.job.name)
            self.stopped.wait(TAKE_OVER_S)

    def _lock(self) -> AbstractContextManager[Held]:
        return nullcontext(enter_result=True) if self.job.everywhere else self.store.lock(self.job.name)

    def _repeat(self, held: Held) -> None:
        """Run the job on its clock, as long as the lock is held."""
        while held and not self.stopped.is_set():
            try:
                self.job.run(held)
                self.metrics.note_success(self.job.name)
            except Exception as error:  # noqa: BLE001 - a failed run must not prevent the next one
                # The text of any other error may be personal.
                reason = str(error) if isinstance(error, OperatorError) else None
                log.error("job failed", job=self.job.name, error=type(error).__name__, reason=reason)
            self.stopped.wait(self.job.every_s)
