"""A seat: one thread of the API process that keeps one worker alive and hands it one job at a time."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.faces.cards.card import Card
from app.faces.workers.messages import ReadyReply, StartRequest
from app.faces.workers.process import WorkerLateError, WorkerLostError, WorkerProcess
from app.faces.workers.queue import Job, JobQueue

STARTING_S: Final = 60.0
"""Within it a worker must be loaded and sealed; two seconds are usual."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_LOOK_UP_S: Final = 1.0


class SupervisorState(StrEnum):
    """What a seat is doing."""

    STARTING = "starting"
    """Its first worker is coming up."""
    SERVING = "serving"
    REPLACING = "replacing"
    """Its worker ended; the next is coming up."""
    BROKEN = "broken"
    """The last worker did not come up. It goes on trying."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What every worker of a pool is started and asked with."""

    start: StartRequest
    card: Card
    timeout_s: float


class Supervisor(threading.Thread):
    """Serves until told to stop.

    The thread lives as long as its workers: the kernel ends a worker when the *thread* that started it ends.
    """

    def __init__(self, line: JobQueue, terms: WorkerConfig, changed: Callable[[], None]) -> None:
        super().__init__(name="engine-seat", daemon=True)
        self.state = SupervisorState.STARTING
        self.hello: ReadyReply | None = None
        """What the latest worker said of itself."""
        self.reason: str | None = None
        """Why the last worker did not come up."""
        self._line = line
        self._terms = terms
        self._changed = changed
        self._stopping = threading.Event()
        self._worker: WorkerProcess | None = None

    def run(self) -> None:
        """Keep a worker, and give it jobs."""
        pause = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            worker = self._hire()
            if worker is not None:
                pause = _FIRST_PAUSE_S
                self._serve(worker)
                self._dismiss()
            else:
                self._stopping.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
        self._enter(SupervisorState.CLOSED)

    def stop(self) -> None:
        """Finish the job that runs, then end. Returns at once; ``join`` waits."""
        self._stopping.set()
        worker = self._worker
        if worker is not None and self.state is not SupervisorState.SERVING:
            worker.kill()  # nobody waits for what it was becoming

    def alive(self) -> bool:
        """Say whether a worker is serving here."""
        worker = self._worker
        return self.state is SupervisorState.SERVING and worker is not None and worker.alive()

    def _hire(self) -> WorkerProcess | None:
        try:
            worker = self._worker = WorkerProcess()
            self.hello = worker.greet(self._terms.start, self._terms.card, timeout_s=STARTING_S)
        except (WorkerLostError, OSError) as error:
            self.reason = str(error)
        except WorkerLateError:
            self.reason = f"the engine did not load within {STARTING_S:.0f} s"
        else:
            self.reason = None
            self._enter(SupervisorState.SERVING)
            return worker
        self._dismiss(SupervisorState.BROKEN)
        return None

    def _dismiss(self, state: SupervisorState = SupervisorState.REPLACING) -> None:
        worker, self._worker = self._worker, None
        self._enter(state)
        if worker is not None:
            worker.end()

    def _serve(self, worker: WorkerProcess) -> None:
        while not self._stopping.is_set() and worker.alive():
            job = self._line.take(_LOOK_UP_S)
            if job is not None and not self._work(worker, job):
                return

    def _work(self, worker: WorkerProcess, job: Job) -> bool:
        """Do *job*. Say whether the worker is still of use."""
        terms = self._terms
        again = None
        try:
            for ask in job.rest():
                job.add(worker.measure(ask, dimensions=terms.card.dimensions, timeout_s=terms.timeout_s))
        except WorkerLateError:
            job.refuse()
        except Exception:  # noqa: BLE001 - the worker is lost, or we are wrong: the caller must not wait for ever
            if job.may_retry():
                again = job
            else:
                job.refuse()
        else:
            job.finish()
            self._line.leave()
            return True
        worker.kill()
        self._line.leave(first=again)
        return False

    def _enter(self, state: SupervisorState) -> None:
        self.state = state
        self._changed()
