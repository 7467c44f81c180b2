"""The line in front of the workers: bounded, first come first served, and never a wait for nothing."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from app.faces.flaws import Flaw
from app.faces.workers.messages import Measurement, MeasureRequest
from app.kit.errors import BusyError

_TRIES = 2


class Job:
    """All images of one call; what is done stays done when a second worker takes over."""

    def __init__(self, images: Sequence[bytes], *, keep_photos: bool) -> None:
        self._asks = [MeasureRequest(image, keep_photos) for image in images]
        self._answers: list[Measurement | Flaw] = []
        self._tries = 0
        self._outcome: Future[list[Measurement | Flaw]] = Future()

    def rest(self) -> list[MeasureRequest]:
        """Return the images that have no answer yet."""
        return self._asks[len(self._answers) :]

    def add(self, answer: Measurement | Flaw) -> None:
        """Note the answer to the first of ``rest``."""
        self._answers.append(answer)

    def finish(self) -> None:
        """Give the caller all answers."""
        self._outcome.set_result(self._answers)

    def refuse(self) -> None:
        """Give the caller a ``BusyError``."""
        self._outcome.set_exception(BusyError())

    def may_retry(self) -> bool:
        """Note that a worker was lost over it. Say whether another may try."""
        self._tries += 1
        return self._tries < _TRIES

    def wait(self) -> list[Measurement | Flaw]:
        """Return the answers, when there are.

        Raises:
            BusyError: no worker finished it.
        """
        return self._outcome.result()


class JobQueue:
    """Jobs that wait, and the count of those at a worker."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._waiting: deque[Job] = deque()
        self._running = 0
        self._open = False
        self._changed = threading.Condition()

    def join(self, job: Job) -> None:
        """Put *job* last.

        Raises:
            BusyError: there is no room, or nobody who serves.
        """
        with self._changed:
            if not self._open or len(self._waiting) + self._running >= self._room:
                raise BusyError
            self._waiting.append(job)
            self._changed.notify()

    def take(self, timeout_s: float) -> Job | None:
        """Return the first job, once there is one; it counts as running until ``leave``."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            if not self._waiting:
                return None
            self._running += 1
            return self._waiting.popleft()

    def leave(self, *, first: Job | None = None) -> None:
        """Note that a running job is over; or, as *first*, goes back to be taken next by any worker."""
        with self._changed:
            self._running -= 1
            if first is None:
                return
            if self._open:
                self._waiting.appendleft(first)
                self._changed.notify()
            else:
                first.refuse()

    def is_quiet(self) -> bool:
        """Say whether no job waits, and none runs."""
        with self._changed:
            return not self._waiting and not self._running

    def open(self) -> None:
        """Let jobs in."""
        with self._changed:
            self._open = True

    def close(self) -> None:
        """Let none in, and refuse those that wait. Those that run are not touched."""
        with self._changed:
            self._open = False
            while self._waiting:
                self._waiting.popleft().refuse()
            self._changed.notify_all()
