"""Turns of requests: fair among callers, and without a thread while they wait. No request is refused here.

* A short request takes one of its caller's turns, so that one caller never holds every thread.
* A document (access, export, a list of receipts) takes its person's only turn for documents until it is sent. Few
  threads make the pieces, one piece at a time, in fair turns among the documents.
* A request with a photo waits before its body is read, if its caller has enough others in progress. It may hold its
  thread while it waits for the engine; those threads are counted apart.
"""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Self

import anyio
from anyio.to_thread import run_sync
from fastapi import Request
from starlette.exceptions import HTTPException

from app.settings import Settings
from app.web.callers import Role
from app.web.rate_limit import network_of

SHORT_PER_CALLER = 8
"""Short requests of one caller that have a thread at once."""
DOCUMENTS_PER_PERSON = 1
"""Documents of one person that are made or sent at once."""
DOCUMENT_THREADS = 2
"""Threads that make documents: more would only take the interpreter's time from other requests."""
AUTHENTICATION_THREADS = 4
"""Threads that check tokens, so that a caller can be told apart while all other threads are in use."""
PARSING_THREADS = 1
"""Threads that parse large bodies of JSON."""
CHUNK_BYTES = 64 * 1024
"""Bytes of a document that are sent at once."""
CHUNK_S = 0.05
"""Seconds after which fewer bytes are sent, so that no document keeps its turn long."""
ENROLMENTS_PER_PERSON = 2
"""Enrolments of one person in progress, from the first byte of the body to the answer. The engine does one image of one
caller at a time, so more would only hold memory."""
ENGINE_SPARE = 4
"""Requests with a photo that have a thread, beyond those that the engine's queue accepts."""


class Lane:
    """Turns for one kind of request.

    Args:
        per_caller: turns of one caller at once.
        total: turns of all callers at once; None for no limit.
    """

    def __init__(self, *, per_caller: int, total: int | None = None) -> None:
        self._per_caller = per_caller
        self._total = total
        self._running: Counter[Hashable] = Counter()
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        """By caller, in the order of their next turns."""

    @asynccontextmanager
    async def turn(self, caller: Hashable, request: Request | None = None) -> AsyncIterator[None]:
        """Wait for a turn and hold it during the block.

        Args:
            caller: the caller.
            request: the request; None before its body is read: then it is not seen that the client leaves.

        Raises:
            HTTPException: the client closed the connection while it waited; no answer reaches it.
        """
        if caller in self._waiting or not self._has_turn(caller):
            await self._wait(caller, request)
        else:
            self._running[caller] += 1
        try:
            yield
        finally:
            self._end_turn(caller)

    def waiting(self) -> int:
        """Return the number of waiting requests."""
        return sum(map(len, self._waiting.values()))

    def _has_turn(self, caller: Hashable) -> bool:
        free = self._total is None or self._running.total() < self._total
        return free and self._running[caller] < self._per_caller

    async def _wait(self, caller: Hashable, request: Request | None) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        gone = asyncio.create_task(_until_gone(request))
        try:
            await asyncio.wait({turn, gone}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if turn.done():
                self._end_turn(caller)
            raise
        finally:
            gone.cancel()
            if not turn.done():
                self._leave(caller, turn)
        if not turn.done():
            raise HTTPException(400, "The connection was closed before the answer")

    def _leave(self, caller: Hashable, turn: "asyncio.Future[None]") -> None:
        self._waiting[caller].remove(turn)
        if not self._waiting[caller]:
            del self._waiting[caller]

    def _end_turn(self, caller: Hashable) -> None:
        """End a turn, and give it to the caller who waits longest for theirs and may have one more."""
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]
        following = next(filter(self._has_turn, self._waiting), None)
        if following is not None:
            turn = self._waiting[following].popleft()
            self._waiting.move_to_end(following)
            if not self._waiting[following]:
                del self._waiting[following]
            self._running[following] += 1
            turn.set_result(None)


class Lanes:
    """The lanes of one application.

    Args:
        engine_jobs: jobs that the engine accepts at once.
    """

    def __init__(self, *, engine_jobs: int) -> None:
        photos = engine_jobs + ENGINE_SPARE
        self.short = Lane(per_caller=SHORT_PER_CALLER)
        self.documents = Lane(per_caller=DOCUMENTS_PER_PERSON)
        self.photos = Lane(per_caller=photos, total=photos)
        self.uploads = {
            Role.PERSON: Lane(per_caller=ENROLMENTS_PER_PERSON),
            Role.RELYING_PARTY: Lane(per_caller=photos),
        }
        """Requests with photos, from the first byte of the body to the answer, by the role of the caller."""
        self.document_threads = anyio.CapacityLimiter(DOCUMENT_THREADS)
        self.parsing_threads = anyio.CapacityLimiter(PARSING_THREADS)
        self.authentication_threads = anyio.CapacityLimiter(AUTHENTICATION_THREADS)
        self.own_threads = photos + DOCUMENT_THREADS
        """Threads that these lanes take from the pool of all requests, which is larger by as many."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make the lanes for the engine of *settings*."""
        return cls(engine_jobs=settings.engine_workers + settings.engine_queue)


def caller_of(request: Request) -> Hashable:
    """Return the authenticated caller; without one, the network address and the route."""
    principal = getattr(request.state, "principal", None)
    return principal.id if principal is not None else (network_of(request), request.scope["route"].path)


async def in_turns(pieces: Iterator[bytes], lanes: Lanes) -> AsyncIterator[bytes]:
    """Yield a document in chunks. Each is made in a turn of its own among all documents."""
    while (chunk := await run_sync(_next_chunk, pieces, limiter=lanes.document_threads)) is not None:
        yield chunk


def _next_chunk(pieces: Iterator[bytes]) -> bytes | None:
    """Join the pieces that are made in CHUNK_S, up to about CHUNK_BYTES; None at the end."""
    chunk = b""
    until = time.monotonic() + CHUNK_S
    for piece in pieces:
        chunk += piece
        if len(chunk) >= CHUNK_BYTES or time.monotonic() >= until:
            return chunk
    return chunk or None


async def _until_gone(request: Request | None) -> None:
    """Wait until the client closes the connection. The body was read before, or is not used."""
    if request is None:
        await asyncio.Event().wait()
        return
    with suppress(Exception):
        while (await request.receive())["type"] != "http.disconnect":
            pass
