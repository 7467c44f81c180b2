"""Bounded FIFO queue of jobs. Rejects a job when it is full or no worker serves."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from app.faces.flaws import Flaw
from app.faces.workers.messages import Measurement, MeasureRequest
from app.kit.errors import BusyError

_MAX_TRIES = 2


class Job:
    """All images of one call. A second worker continues after the last answer of the first."""

    def __init__(self, images: Sequence[bytes], *, keep_photos: bool) -> None:
        self._requests = [MeasureRequest(image, keep_photos) for image in images]
        self._answers: list[Measurement | Flaw] = []
        self._tries = 0
        self._outcome: Future[list[Measurement | Flaw]] = Future()

    def remaining(self) -> list[MeasureRequest]:
        """Return the requests that have no answer yet."""
        return self._requests[len(self._answers) :]

    def add_answer(self, answer: Measurement | Flaw) -> None:
        """Add the answer to the first of the remaining requests."""
        self._answers.append(answer)

    def finish(self) -> None:
        """Give the caller all answers."""
        self._outcome.set_result(self._answers)

    def refuse(self) -> None:
        """Give the caller a ``BusyError``."""
        self._outcome.set_exception(BusyError())

    def may_retry(self) -> bool:
        """Count a lost worker. Return whether another may try."""
        self._tries += 1
        return self._tries < _MAX_TRIES

    def wait(self) -> list[Measurement | Flaw]:
        """Block until the job is finished, and return the answers.

        Raises:
            BusyError: no worker finished it.
        """
        return self._outcome.result()


class JobQueue:
    """Waiting jobs, and the count of running ones. All methods are thread-safe."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: deque[Job] = deque()
        self._running = 0
        self._open = False
        self._changed = threading.Condition()

    def put(self, job: Job) -> None:
        """Append *job*.

        Raises:
            BusyError: the queue is full or closed.
        """
        with self._changed:
            if not self._open or len(self._waiting) + self._running >= self._capacity:
                raise BusyError
            self._waiting.append(job)
            self._changed.notify()

    def take(self, timeout_s: float) -> Job | None:
        """Return the first job, or None after *timeout_s*. The job counts as running until `release`."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            if not self._waiting:
                return None
            self._running += 1
            return self._waiting.popleft()

    def release(self, *, retry: Job | None = None) -> None:
        """Count a running job as over. A job to *retry* becomes the first in the queue."""
        with self._changed:
            self._running -= 1
            if retry is None:
                return
            if self._open:
                self._waiting.appendleft(retry)
                self._changed.notify()
            else:
                retry.refuse()

    def is_idle(self) -> bool:
        """Return whether no job waits or runs."""
        return self.count() == (0, 0)

    def count(self) -> tuple[int, int]:
        """Return how many jobs wait and how many run."""
        with self._changed:
            return len(self._waiting), self._running

    def open(self) -> None:
        """Accept jobs."""
        with self._changed:
            self._open = True

    def close(self) -> None:
        """Reject new jobs, and refuse those that wait. Running jobs continue."""
        with self._changed:
            self._open = False
            while self._waiting:
                self._waiting.popleft().refuse()
            self._changed.notify_all()
