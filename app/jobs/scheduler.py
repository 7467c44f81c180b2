"""Repeat jobs on a clock, each in a thread of its own, for as long as the service runs."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

POLL_S = 1.0
"""Seconds between two checks whether a log batch or a callback is due."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledJob:
    """Work that is repeated until the service stops."""

    name: str
    every_s: float
    """Seconds between the end of one run and the start of the next."""
    run: Callable[[], object]
    interrupt: Callable[[], None] = lambda: None
    """Called when the service stops, before it waits for the run in progress: makes that return early."""


@contextmanager
def running(jobs: Sequence[ScheduledJob], *, on_success: Callable[[str], None] = lambda _name: None) -> Iterator[None]:
    """Start every job at once; at the end of the block stop them in the same order.

    Args:
        on_success: called with the name of a job after each run that raised nothing.
    """
    started = [_start(job, on_success) for job in jobs]
    try:
        yield
    finally:
        for stop in started:
            stop()


def _start(job: ScheduledJob, on_success: Callable[[str], None]) -> Callable[[], None]:
    """Run *job* now and then on its clock. Returns the function that stops it."""
    stopped = threading.Event()

    def repeat() -> None:
        while not stopped.is_set():
            try:
                job.run()
                on_success(job.name)
            except Exception as error:  # noqa: BLE001 - a failed run must not prevent the next one
                log.error("job failed", job=job.name, error=type(error).__name__)
            stopped.wait(job.every_s)

    def stop() -> None:
        stopped.set()
        job.interrupt()
        thread.join()

    thread = threading.Thread(target=repeat, name=job.name, daemon=True)
    thread.start()
    return stop
