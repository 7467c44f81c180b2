"""What a request may cost before it is worked on: time to arrive, and memory while it does.

A server that waits for ever for a slow body, or takes in any number at once, can be stopped by anybody. The size of
one body is bounded by the routes' `max_body_size`; here is the rest.
"""

import asyncio
from asyncio import TimerHandle, Transport
from typing import ClassVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.kit.errors import BusyError, Problem
from app.kit.problems import RequestTimeoutError, TooLargeError, document

MAX_HEADER_BYTES = 64 * 1024


class _RefusedError(Exception):
    """The rest of the body is not received."""


class Receiving:
    """ASGI middleware: a deadline for each body, and a bound on the bytes of all bodies under way.

    Args:
        body_s: seconds from the first wait for a body to its end; 408 after that.
        memory: bytes of all bodies that requests under way have sent; 503 `busy` above that.
    """

    def __init__(self, app: ASGIApp, *, body_s: float, memory: int) -> None:
        self.app = app
        self._body_s = body_s
        self._free = memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; what the framework makes of a refusal is replaced by ours."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _Body(self, receive)
        answered = replaced = False

        async def answer(message: Message) -> None:
            nonlocal answered, replaced
            if replaced:
                return
            problem = body.problem
            if (
                problem is None
                and message["type"] == "http.response.start"
                and message["status"] == TooLargeError.status
            ):
                problem = TooLargeError()
            if answered or problem is None:
                answered = True
                await send(message)
            else:
                replaced = True
                await document(problem)(scope, receive, send)

        try:
            await self.app(scope, body.receive, answer)
        except _RefusedError:
            await answer({"type": "http.response.start", "status": 0})
        finally:
            body.let_go()

    def take(self, count: int) -> bool:
        """Reserve memory; False if there is not so much left."""
        if count > self._free:
            return False
        self._free -= count
        return True

    def give_back(self, count: int) -> None:
        """Let others have it."""
        self._free += count

    def deadline(self) -> float:
        """Return until when a body that is waited for now has to be here."""
        return asyncio.get_running_loop().time() + self._body_s


class _Body:
    """One request's body as it arrives."""

    def __init__(self, bounds: Receiving, receive: Receive) -> None:
        self._bytes = 0
        self.problem: Problem | None = None
        self._bounds = bounds
        self._receive = receive
        self._until: float | None = None
        self._whole = False

    async def receive(self) -> Message:
        """Wait for the next piece, until the deadline."""
        if self._whole:
            return await self._receive()
        self._until = self._until or self._bounds.deadline()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as error:
            self.problem = RequestTimeoutError()
            raise _RefusedError from error
        count = len(message.get("body", b""))
        if not self._bounds.take(count):
            # At once, or what arrives for others before this answer is sent would be turned away with it.
            self.let_go()
            self.problem = BusyError()
            raise _RefusedError
        self._bytes += count
        self._whole = not message.get("more_body", False)
        return message

    def let_go(self) -> None:
        """Give back the memory that was reserved for this body."""
        self._bounds.give_back(self._bytes)
        self._bytes = 0


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP with what it lacks: headers that come too slowly, or are too many, end the connection.

    So does whatever else comes after an answer and begins no request, such as the rest of a body that was refused:
    uvicorn's own clock for an idle connection stops for good at the first such byte.
    """

    headers_s: ClassVar[float] = 10.0
    """Seconds for the head of a request; set once, before serving."""
    rest_s: ClassVar[float] = 120.0
    """Seconds from the first byte after an answer until the next request begins: enough to send a refused body."""
    _timer: TimerHandle | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Give the first head its time."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head that is not complete; give what is no head its time."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEADER_BYTES:
            self.transport.close()
        elif self._timer is None and self.cycle is not None and self.cycle.response_complete:
            self._start_clock(self.rest_s)

    def on_message_begin(self) -> None:
        """Give this head its time."""
        super().on_message_begin()
        if not self._in_head:
            self._expect_head()

    def on_headers_complete(self) -> None:
        """Stop the clock: the body has another."""
        self._stop_clock()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._start_clock(self.headers_s)

    def _start_clock(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_clock(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
