"""Bounded queue of jobs, in fair turns of one image each. Rejects a job when it is full or no worker serves.

* Kinds of work take turns, then the owners of one kind: an enrolment of five photos takes five turns.
* A caller can use every place while no other needs one. A job that finds the queue full takes the newest place of the
  kind, or else of the owner, that has more. The job that had this place is refused.
* Work in the background is done while no other job waits.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import count

from app.faces.flaws import Flaw
from app.faces.permit import JobKind, JobOwner, PhotoUse
from app.faces.workers.messages import Measurement, MeasureRequest
from app.kit.errors import BusyError

_MAX_TRIES = 2


class Job:
    """All images of one call. A second worker continues after the last answer of the first."""

    def __init__(
        self, images: Sequence[bytes], *, keep_photos: bool, owner: JobOwner, use: PhotoUse = PhotoUse.ENROLMENT
    ) -> None:
        self.owner = owner
        self._requests = [MeasureRequest(image, keep_photos, use) for image in images]
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
    """Waiting jobs, and the number of running ones. All methods are thread-safe."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: list[Job] = []
        """The jobs in the order of arrival; one that was interrupted comes first."""
        self._running: Counter[JobOwner] = Counter()
        self._turns = count()
        self._last_turn: dict[JobKind | JobOwner, int] = dict.fromkeys(JobKind, -1)
        """The latest turn of each kind, and of each owner of a job. A new owner begins behind all others."""
        self._open = False
        self._changed = threading.Condition()

    def put(self, job: Job) -> None:
        """Append *job*; if the queue is full, in place of a job of a caller who has more.

        Raises:
            BusyError: the queue is closed, or full and no other caller has more.
        """
        with self._changed:
            if not self._open:
                raise BusyError
            if len(self._waiting) + self._running.total() >= self._capacity:
                crowding = self._find_crowding(job.owner)
                self._waiting.remove(crowding)
                crowding.refuse()
                self._forget(crowding.owner)
            self._waiting.append(job)
            self._last_turn.setdefault(job.owner, next(self._turns))
            self._changed.notify()

    def take(self, timeout_s: float) -> Job | None:
        """Return the job whose turn it is, or None after *timeout_s*. It counts as running until `release`."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            return self._take_next() if self._waiting else None

    def interrupt(self, job: Job) -> Job:
        """Let a running job wait if it is another's turn; return the job that runs on."""
        with self._changed:
            # The turn ended now: a caller who came meanwhile is next.
            self._note_turn(job.owner)
            if not (self._open and self._waiting):
                return job
            self._running[job.owner] -= 1
            self._waiting.insert(0, job)
            return self._take_next()

    def release(self, job: Job, *, retry: bool = False) -> None:
        """Count a running job as over; with *retry* it waits for another worker."""
        with self._changed:
            self._running[job.owner] -= 1
            if not retry:
                self._forget(job.owner)
            elif self._open:
                self._waiting.insert(0, job)
                self._changed.notify()
            else:
                job.refuse()

    def is_idle(self) -> bool:
        """Return whether no job waits or runs."""
        return self.count() == (0, 0)

    def count(self) -> tuple[int, int]:
        """Return how many jobs wait and how many run."""
        with self._changed:
            return len(self._waiting), self._running.total()

    def open(self) -> None:
        """Accept jobs."""
        with self._changed:
            self._open = True

    def close(self) -> None:
        """Reject new jobs, and refuse those that wait. Running jobs continue."""
        with self._changed:
            self._open = False
            while self._waiting:
                self._waiting.pop().refuse()
            self._changed.notify_all()

    def _take_next(self) -> Job:
        urgent = [job for job in self._waiting if job.owner.kind is not JobKind.BACKGROUND] or self._waiting
        job = min(urgent, key=lambda job: (self._last_turn[job.owner.kind], self._last_turn[job.owner]))
        self._waiting.remove(job)
        self._running[job.owner] += 1
        self._note_turn(job.owner)
        return job

    def _note_turn(self, owner: JobOwner) -> None:
        self._last_turn[owner.kind] = self._last_turn[owner] = next(self._turns)

    def _forget(self, owner: JobOwner) -> None:
        """Drop an owner without a job, so that the table has no more owners than the queue has places."""
        if not self._running[owner] and all(job.owner != owner for job in self._waiting):
            del self._running[owner]
            self._last_turn.pop(owner, None)

    def _find_crowding(self, newcomer: JobOwner) -> Job:
        """Return the newest waiting job of the kind, or else of the owner, that has two more than the newcomer.

        Raises:
            BusyError: none has.
        """
        kinds = Counter(job.owner.kind for job in self._waiting)
        owners = Counter(job.owner for job in self._waiting)
        crowding = [job for job in self._waiting if kinds[job.owner.kind] > kinds[newcomer.kind] + 1] or [
            job for job in self._waiting if job.owner.kind is newcomer.kind and owners[job.owner] > owners[newcomer] + 1
        ]
        # Work in the background gives way to all other work.
        crowding = [job for job in self._waiting if job.owner.kind is JobKind.BACKGROUND] or crowding
        if not crowding or newcomer.kind is JobKind.BACKGROUND:
            raise BusyError
        return max(reversed(crowding), key=lambda job: owners[job.owner])
