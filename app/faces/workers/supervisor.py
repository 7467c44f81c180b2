"""Supervises one worker process from one thread, and hands it one job at a time."""

import threading
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """Configuration shared by all workers of a pool."""

    start: StartRequest
    card: Card
    timeout_s: float


class Supervisor(threading.Thread):
    """Keeps one worker alive until it is stopped.

    The kernel ends a worker when the *thread* that started it ends, so the thread lives as long as its workers.
    """

    def __init__(self, queue: JobQueue, config: WorkerConfig, on_change: Callable[[], None]) -> None:
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

    def run(self) -> None:
        """Start workers and serve jobs until stopped."""
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            worker = self._start_worker()
            if worker is not None:
                pause = _FIRST_PAUSE_S
                self._serve(worker)
                self._end_worker()
            else:
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
        self._enter(SupervisorState.CLOSED)

    def stop(self) -> None:
        """Finish the running job, then end. Returns at once; ``join`` waits."""
        self._stopping.set()
        worker = self._worker
        if worker is not None and self.state is not SupervisorState.SERVING:
            worker.kill()  # it is still starting and has no job

    def has_worker(self) -> bool:
        """Return whether a worker serves now."""
        worker = self._worker
        return self.state is SupervisorState.SERVING and worker is not None and worker.is_alive()

    def _start_worker(self) -> WorkerProcess | None:
        try:
            worker = self._worker = WorkerProcess()
            self.ready = worker.start(self._config.start, self._config.card, timeout_s=START_TIMEOUT_S)
        except (WorkerLostError, OSError) as error:
            self.reason = str(error)
        except WorkerLateError:
            self.reason = f"the engine did not load within {START_TIMEOUT_S:.0f} s"
        else:
            self.reason = None
            self._enter(SupervisorState.SERVING)
            return worker
        self._end_worker(SupervisorState.BROKEN)
        return None

    def _end_worker(self, state: SupervisorState = SupervisorState.REPLACING) -> None:
        worker, self._worker = self._worker, None
        self._enter(state)
        if worker is not None:
            worker.end()

    def _serve(self, worker: WorkerProcess) -> None:
        job: Job | None = None
        while job is not None or (not self._stopping.is_set() and worker.is_alive()):
            job = job or self._queue.take(_POLL_S)
            if job is None:
                continue
            if not self._measure_next(worker, job):
                return
            if job.remaining():
                job = self._queue.interrupt(job)
            else:
                job.finish()
                self._queue.release(job)
                job = None

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
