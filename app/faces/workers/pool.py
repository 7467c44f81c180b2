"""Pool of engine workers: the only way from an image to a face's features (laws 1 and 8).

Invariants:
- Without a ``Permit`` no image is read. The permit stays in this process.
- All images of a call are one job. A worker does one image at a time, in fair turns among the callers (`queue.py`).
- At most ``workers`` jobs run and ``queue`` wait. The pool refuses a further one at once, so that requests without an
  image, such as the subjects' rights, always find a thread. It refuses a job of the caller who has most.
- No call waits for ever: a worker over its time is killed, a dead one is replaced, a broken pool refuses.
- No worker sees many people: each serves for a term, then another one takes its place.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.faces.cards.card import Card
from app.faces.flaws import Flaw
from app.faces.permit import ImageStatement, JobOwner, Permit, PhotoUse
from app.faces.workers.messages import MAX_IMAGE_BYTES, Measurement, StartRequest
from app.faces.workers.queue import Job, JobQueue
from app.faces.workers.supervisor import Supervisor, SupervisorState, Term, WorkerConfig

MAX_PIXELS = 25_000_000
DEFAULT_TERM = Term(images=500, seconds=600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """Status of the pool, as ``/readyz`` reports it."""

    ready: bool
    """The pool accepts photos."""
    workers: int
    """Workers that serve now."""
    sandbox: Literal["full", "reduced", "unknown"]
    """``unknown`` until the first worker is ready."""
    missing: tuple[str, ...]
    """Protections of the sandbox that this machine lacks."""
    engine: str
    """Id of the engine."""
    weights_verified: bool
    """A worker loaded the weights, and their hash is the one on the card."""
    reason: str | None
    """Why the pool is not ready."""
    waiting: int = 0
    """Jobs that wait for a worker."""
    running: int = 0
    """Jobs that a worker does now."""

    @property
    def missing_if_known(self) -> tuple[str, ...] | None:
        """`missing`, or None until the first worker is ready."""
        return None if self.sandbox == "unknown" else self.missing


class EnginePool:
    """Workers of one engine.

    Args:
        engine: ``module:Class``, imported in the workers only.
        card: the engine's card; weights with other hashes do not load.
        workers: number of processes; each needs one core.
        queue: number of calls that may wait for a worker.
        timeout_s: wall-clock seconds for one image.
        memory_bytes: address space of a worker, engine included.
        max_pixels: a larger picture is not decoded.
        term: how long one worker serves until it is replaced.
    """

    def __init__(
        self,
        *,
        engine: str,
        card: Card,
        workers: int,
        queue: int,
        timeout_s: float,
        memory_bytes: int,
        max_pixels: int = MAX_PIXELS,
        term: Term = DEFAULT_TERM,
    ) -> None:
        start = StartRequest(engine, card.digests, card.settings, memory_bytes, max_pixels)
        config = WorkerConfig(start=start, card=card, timeout_s=timeout_s, term=term)
        self._card = card
        self._closed = False
        self._lock = threading.Lock()
        self._queue = JobQueue(workers + queue)
        # The first terms have different lengths, so that the workers are not replaced at the same time.
        firsts = [Term(max(1, term.images * n // workers), term.seconds * n / workers) for n in range(1, workers + 1)]
        self._supervisors = [Supervisor(self._queue, config, self._on_change, first_term=first) for first in firsts]

    def start(self) -> None:
        """Start the workers in the background. Earlier calls wait for them."""
        self._queue.open()
        for supervisor in self._supervisors:
            supervisor.start()

    def close(self) -> None:
        """Refuse waiting calls, finish running ones, and end the workers."""
        with self._lock:
            self._closed = True
            self._queue.close()
        for supervisor in self._supervisors:
            supervisor.stop()
        for supervisor in self._supervisors:
            if supervisor.is_alive():
                supervisor.join()

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        """Return one answer for each image, in order. Blocks; call it outside transactions, from any thread.

        Raises:
            BusyError: the queue is full, a caller with fewer jobs took this one's place, no worker serves, or two
                workers were lost over these images.
        """
        if not isinstance(permit, Permit):
            raise TypeError("no permit, no pixels")
        return self._measure(images, keep_photos=permit.keeps_photos, owner=permit.owner, use=permit.use)

    def measure_for_evaluation(
        self, statement: ImageStatement, images: Sequence[bytes], use: PhotoUse
    ) -> list[Measurement | Flaw]:
        """Measure images of an evaluation, which have a statement of their origin in place of a permit.

        Raises:
            BusyError: as `measure`.
        """
        if not isinstance(statement, ImageStatement):
            raise TypeError("no statement, no pixels")
        return self._measure(images, keep_photos=False, owner=JobOwner(), use=use)

    def _measure(
        self, images: Sequence[bytes], *, keep_photos: bool, owner: JobOwner, use: PhotoUse
    ) -> list[Measurement | Flaw]:
        small = [image for image in images if len(image) <= MAX_IMAGE_BYTES]
        job = Job(small, keep_photos=keep_photos, owner=owner, use=use)
        if small:
            self._queue.put(job)
        else:
            job.finish()
        answers = iter(job.wait())
        return [next(answers) if len(image) <= MAX_IMAGE_BYTES else Flaw.BROKEN for image in images]

    def is_idle(self) -> bool:
        """Return whether no job waits or runs, so that work without urgency may start."""
        return self._queue.is_idle()

    def status(self) -> PoolStatus:
        """Return the status now."""
        ready_workers = [supervisor.ready for supervisor in self._supervisors if supervisor.ready is not None]
        missing = tuple(sorted({name for reply in ready_workers for name in reply.missing}))
        serving = {SupervisorState.SERVING, SupervisorState.REPLACING}
        ready = not self._closed and any(supervisor.state in serving for supervisor in self._supervisors)
        waiting, running = self._queue.count()
        return PoolStatus(
            ready=ready,
            waiting=waiting,
            running=running,
            workers=sum(supervisor.has_worker() for supervisor in self._supervisors),
            sandbox=("reduced" if missing else "full") if ready_workers else "unknown",
            missing=missing,
            engine=self._card.id,
            weights_verified=bool(ready_workers),
            reason=None if ready else self._reason(),
        )

    def _on_change(self) -> None:
        """Close the queue while every supervisor is broken; open it otherwise."""
        with self._lock:
            if self._closed:
                return
            if all(supervisor.state is SupervisorState.BROKEN for supervisor in self._supervisors):
                self._queue.close()
            else:
                self._queue.open()

    def _reason(self) -> str:
        if self._closed:
            return "closed"
        reasons = (supervisor.reason for supervisor in self._supervisors if supervisor.reason is not None)
        return next(reasons, "the workers are starting")
