"""What a body may cost before it is worked on: time to arrive, and memory while it does.

A server that waits for ever for a slow body, or takes in any number at once, can be stopped by anybody. The size of
one body is bounded by the routes' `max_body_size`; here is the rest. Heads are in `app/web/http_protocol.py`.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit.errors import BusyError, Problem
from app.web.problems import RequestTimeoutError, TooLargeError, document


class _RefusedError(Exception):
    """The rest of the body is not received."""


class BodyLimits:
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

    def __init__(self, bounds: BodyLimits, receive: Receive) -> None:
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
