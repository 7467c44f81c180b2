"""The pool of engine workers: the one way from an image to a face's features (laws 1 and 8).

Invariants:
- Without a ``Permit`` nothing is read, and the permit stays in this process.
- All images of a call are one job on one worker, which does one job at a time.
- At most ``workers`` jobs run and ``queue`` wait; a further one is refused at once, so that requests which need no
  engine (the rights of people) always find a thread.
- No call waits for ever: a worker over its time is killed, a dead one is replaced, a broken pool refuses.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.faces.cards.card import Card
from app.faces.flaws import Flaw
from app.faces.permit import ImageStatement, Permit
from app.faces.workers.messages import MAX_IMAGE_BYTES, Measurement, StartRequest
from app.faces.workers.queue import Job, JobQueue
from app.faces.workers.supervisor import Supervisor, SupervisorState, WorkerConfig
from app.kit.errors import BusyError

__all__ = ["BusyError", "EnginePool", "Measurement", "PoolStatus"]

MAX_PIXELS = 25_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """How the pool is; what ``/readyz`` says of it."""

    ready: bool
    """Photos are taken in, and answered."""
    workers: int
    """How many serve now."""
    sandbox: Literal["full", "reduced", "unknown"]
    """``unknown`` until a worker is up."""
    missing: tuple[str, ...]
    """The pieces of the sandbox that this machine lacks."""
    engine: str
    """The engine's id."""
    weights_verified: bool
    """A worker has loaded the weights, and their hash is the card's."""
    reason: str | None
    """Why it is not ready."""


class EnginePool:
    """Workers of one engine.

    Args:
        engine: ``module:Class``, imported in the workers only.
        card: the engine's card; weights with other hashes do not load.
        workers: how many processes; one core's work each.
        queue: how many calls may wait for a worker.
        timeout_s: wall-clock seconds for one image.
        memory_bytes: address space of a worker, engine included.
        max_pixels: a larger picture is not decoded.
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
    ) -> None:
        start = StartRequest(engine, card.digests, card.settings, memory_bytes, max_pixels)
        terms = WorkerConfig(start=start, card=card, timeout_s=timeout_s)
        self._card = card
        self._closed = False
        self._lock = threading.Lock()
        self._line = JobQueue(workers + queue)
        self._seats = [Supervisor(self._line, terms, self._seat_changed) for _ in range(workers)]

    def start(self) -> None:
        """Bring the workers up in the background. Calls made meanwhile wait for them."""
        self._line.open()
        for seat in self._seats:
            seat.start()

    def close(self) -> None:
        """Refuse the calls that wait, finish those that run, and end the workers."""
        with self._lock:
            self._closed = True
            self._line.close()
        for seat in self._seats:
            seat.stop()
        for seat in self._seats:
            if seat.is_alive():
                seat.join()

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        """Return one answer for each image, in order. Blocks; call it from any thread, in no transaction.

        Raises:
            BusyError: the queue is full, the engine is not there, or two workers were lost over it.
        """
        if not isinstance(permit, Permit):
            raise TypeError("no permit, no pixels")
        return self._measured(images, keep_photos=permit.keeps_photos)

    def measure_for_evaluation(self, stated: ImageStatement, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        """Do as `measure` on images that an engine's errors are counted on: no permit, but where they came from.

        Raises:
            BusyError: as `measure`.
        """
        if not isinstance(stated, ImageStatement):
            raise TypeError("no statement, no pixels")
        return self._measured(images, keep_photos=False)

    def _measured(self, images: Sequence[bytes], *, keep_photos: bool) -> list[Measurement | Flaw]:
        fit = [image for image in images if len(image) <= MAX_IMAGE_BYTES]
        job = Job(fit, keep_photos=keep_photos)
        self._line.join(job)
        answers = iter(job.wait())
        return [next(answers) if len(image) <= MAX_IMAGE_BYTES else Flaw.BROKEN for image in images]

    def is_quiet(self) -> bool:
        """Say whether nothing is measured now, so that who is in no hurry may be."""
        return self._line.is_quiet()

    def status(self) -> PoolStatus:
        """Say how the pool is now."""
        hellos = [seat.hello for seat in self._seats if seat.hello is not None]
        missing = tuple(sorted({piece for hello in hellos for piece in hello.missing}))
        ready = not self._closed and any(
            seat.state in {SupervisorState.SERVING, SupervisorState.REPLACING} for seat in self._seats
        )
        return PoolStatus(
            ready=ready,
            workers=sum(seat.alive() for seat in self._seats),
            sandbox=("reduced" if missing else "full") if hellos else "unknown",
            missing=missing,
            engine=self._card.id,
            weights_verified=bool(hellos),
            reason=None if ready else self._reason(),
        )

    def _seat_changed(self) -> None:
        """Keep the line open exactly while somebody serves, or may soon."""
        with self._lock:
            if self._closed:
                return
            if all(seat.state is SupervisorState.BROKEN for seat in self._seats):
                self._line.close()
            else:
                self._line.open()

    def _reason(self) -> str:
        if self._closed:
            return "closed"
        reasons = [seat.reason for seat in self._seats if seat.reason is not None]
        return reasons[0] if reasons else "the workers are starting"
