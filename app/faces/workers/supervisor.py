"""Supervises one worker process from one thread, and hands it one job at a time.

A worker reads hostile pictures, so none serves for long: after a number of images or a time another one replaces it.
The replacement loads its engine while the old worker still serves, so that no request waits for it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.faces.cards.card import Card
from app.faces.workers.messages import ReadyReply, StartRequest
from app.faces.workers.process import WorkerLateError, WorkerLostError, WorkerProcess
from app.faces.workers.queue import Job, JobQueue

START_TIMEOUT_S: Final = 60.0
"""Time to load the engine and enter the sandbox; two seconds are usual."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_POLL_S: Final = 1.0
_IDLE_S: Final = 0.2
"""Time without a job after which a worker overwrites the last face. Under load the next face overwrites it."""


class SupervisorState(StrEnum):
    """State of a supervisor."""

    STARTING = "starting"
    """The first worker starts."""
    SERVING = "serving"
    REPLACING = "replacing"
    """The worker ended; the next one starts."""
    BROKEN = "broken"
    """The last worker did not start. The supervisor tries again."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Term:
    """How long a worker serves until it is replaced."""

    images: int
    seconds: float
    """From its first image: a worker without work is not replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """Configuration shared by all workers of a pool."""

    start: StartRequest
    card: Card
    timeout_s: float
    term: Term


class _Served:
    """The images and the time that one worker has served."""

    def __init__(self) -> None:
        self._images = 0
        self._since = 0.0
        self.forgotten = True
        """Whether the worker's engine holds no face."""

    def count(self) -> None:
        """Count an image."""
        if self._images == 0:
            self._since = time.monotonic()
        self._images += 1
        self.forgotten = False

    def has_served(self, term: Term, *, times: float = 1.0) -> bool:
        """Return whether the worker has served *term*, or a multiple of it."""
        seconds = time.monotonic() - self._since if self._images else 0.0
        return self._images >= term.images * times or seconds >= term.seconds * times


class Supervisor(threading.Thread):
    """Keeps one worker alive until it is stopped.

    The kernel ends a worker when the *thread* that started it ends, so the thread lives as long as its workers.
    """

    def __init__(
        self, queue: JobQueue, config: WorkerConfig, on_change: Callable[[], None], *, first_term: Term | None = None
    ) -> None:
        super().__init__(name="engine-supervisor", daemon=True)
        self.state = SupervisorState.STARTING
        self.ready: ReadyReply | None = None
        """The latest worker's report of its engine and sandbox."""
        self.reason: str | None = None
        """Why the last worker did not start."""
        self._queue = queue
        self._config = config
        self._on_change = on_change
        self._stopping = threading.Event()
        self._worker: WorkerProcess | None = None
        self._replacement: WorkerProcess | None = None
        """Loads its engine while the worker still serves."""
        self._begin_replacement_at = 0.0
        self._first_term = first_term or config.term

    def run(self) -> None:
        """Start workers and serve jobs until stopped."""
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            worker = self._start_worker()
            if worker is None:
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                continue
            pause = _FIRST_PAUSE_S
            self._serve(worker)
            self._end_worker()
        self._drop_replacement()
        self._enter(SupervisorState.CLOSED)

    def stop(self) -> None:
        """Finish the running job, then end. Returns at once; ``join`` waits."""
        self._stopping.set()
        worker, replacement = self._worker, self._replacement
        # One that is still starting has no job.
        if worker is not None and self.state is not SupervisorState.SERVING:
            worker.kill()
        if replacement is not None:
            replacement.kill()

    def has_worker(self) -> bool:
        """Return whether a worker serves now."""
        worker = self._worker
        return self.state is SupervisorState.SERVING and worker is not None and worker.is_alive()

    def _start_worker(self) -> WorkerProcess | None:
        """Start a worker, or wait for the replacement that loads already. Return it when it can serve."""
        try:
            self._worker, self._replacement = self._replacement or self._begin(), None
            self.ready = self._worker.finish_start(self._config.card)
        except (WorkerLostError, WorkerLateError, OSError) as error:
            self.reason = _reason(error)
        else:
            self.reason = None
            self._enter(SupervisorState.SERVING)
            return self._worker
        self._end_worker(SupervisorState.BROKEN)
        return None

    def _begin(self) -> WorkerProcess:
        """Start a process, which loads its engine."""
        worker = WorkerProcess()
        try:
            worker.begin(self._config.start, timeout_s=START_TIMEOUT_S)
        except (WorkerLostError, WorkerLateError):
            _kill(worker)
            raise
        return worker

    def _replace(self) -> WorkerProcess | None:
        """Begin the replacement of the worker, or put it in force if it is ready; then return it."""
        try:
            if self._replacement is None:
                self._replacement = self._begin() if time.monotonic() >= self._begin_replacement_at else None
                return None
            if not self._replacement.may_finish_start():
                return None
            self.ready = self._replacement.finish_start(self._config.card)
        except (WorkerLostError, WorkerLateError, OSError) as error:
            self.reason = _reason(error)
            self._drop_replacement()
            self._begin_replacement_at = time.monotonic() + _LONGEST_PAUSE_S
            return None
        old, self._worker, self._replacement = self._worker, self._replacement, None
        if old is not None:
            # Beside the jobs: the kernel takes some time to free the memory of the old process.
            threading.Thread(target=_kill, args=(old,), daemon=True).start()
        return self._worker

    def _drop_replacement(self) -> None:
        replacement, self._replacement = self._replacement, None
        if replacement is not None:
            _kill(replacement)

    def _end_worker(self, state: SupervisorState = SupervisorState.REPLACING) -> None:
        worker, self._worker = self._worker, None
        self._enter(state)
        if worker is not None:
            worker.end()

    def _serve(self, worker: WorkerProcess) -> None:
        """Give jobs to *worker*, then to its replacement, until one is lost.

        A worker whose replacement does not start ends after twice its term.
        """
        served, term = _Served(), self._first_term
        self._first_term = self._config.term
        job: Job | None = None
        while job is not None or (
            not self._stopping.is_set() and worker.is_alive() and not served.has_served(term, times=2)
        ):
            if served.has_served(term) and (replacement := self._replace()) is not None:
                worker, served, term = replacement, _Served(), self._config.term
            job = job or self._queue.take(_POLL_S if served.forgotten else _IDLE_S)
            if job is None:
                if not (served.forgotten or self._forget(worker, served)):
                    return
                continue
            served.count()
            if not self._measure_next(worker, job):
                return
            if job.remaining():
                job = self._queue.interrupt(job)
            else:
                job.finish()
                self._queue.release(job)
                job = None

    def _forget(self, worker: WorkerProcess, served: _Served) -> bool:
        """Let *worker* overwrite the last face, since no job waits. Return whether it can take a job."""
        try:
            worker.forget(timeout_s=self._config.timeout_s)
        except (WorkerLostError, WorkerLateError):
            worker.kill()
            return False
        served.forgotten = True
        return True

    def _measure_next(self, worker: WorkerProcess, job: Job) -> bool:
        """Measure the next image of *job*. Return whether the worker can take another."""
        retry = False
        try:
            answer = worker.measure(
                job.remaining()[0], dimensions=self._config.card.dimensions, timeout_s=self._config.timeout_s
            )
        except WorkerLateError:
            job.refuse()
        except Exception:  # noqa: BLE001 - a lost worker or a bug of ours: the caller must not wait for ever
            retry = job.may_retry()
            if not retry:
                job.refuse()
        else:
            job.add_answer(answer)
            return True
        worker.kill()
        self._queue.release(job, retry=retry)
        return False

    def _enter(self, state: SupervisorState) -> None:
        self.state = state
        self._on_change()


def _reason(error: Exception) -> str:
    if isinstance(error, WorkerLateError):
        return f"the engine did not load within {START_TIMEOUT_S:.0f} s"
    return str(error)


def _kill(worker: WorkerProcess) -> None:
    worker.kill()
    worker.end()
