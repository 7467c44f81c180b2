"""The time limit of a request body, and the problem documents of a body that is refused while it arrives.

The routes' `max_body_size` bounds the size of one body, and `app/web/body_memory.py` the memory of all;
`app/web/http_protocol.py` has the limits on headers.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit.errors import Problem
from app.web.problems import RequestTimeoutError, TooLargeError, problem_document

MIN_PROGRESS_BYTES = 4 * 1024
"""Bytes that must arrive in the time for a piece; a smaller body must arrive in that time as a whole."""


class ArrivalDeadline:
    """The latest time, on the loop's clock, for the next bytes of a body.

    Args:
        now: the time at which the service begins to wait for the body.
        total_s: seconds for the whole body.
        gap_s: seconds in which `MIN_PROGRESS_BYTES` must arrive.
    """

    def __init__(self, now: float, *, total_s: float, gap_s: float) -> None:
        self._end, self._gap_s = now + total_s, gap_s
        self._progress_at, self._count = now, 0

    def note(self, count: int, now: float) -> None:
        """Count the bytes that arrived."""
        self._count += count
        if self._count >= MIN_PROGRESS_BYTES:
            self._progress_at, self._count = now, 0

    @property
    def at(self) -> float:
        """The time."""
        return min(self._end, self._progress_at + self._gap_s)


class _RefusedError(Exception):
    """The rest of the body is not received."""


class BodyLimits:
    """ASGI middleware: a deadline for each body.

    Args:
        body_s: seconds from the first wait for a body to its end; 408 after that.
        gap_s: seconds in which a body must progress; 408 after that too.
    """

    def __init__(self, app: ASGIApp, *, body_s: float, gap_s: float) -> None:
        self.app = app
        self._body_s, self._gap_s = body_s, gap_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; the framework's answer to a refused body is replaced by a problem document."""
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
                await problem_document(problem)(scope, receive, send)

        try:
            await self.app(scope, body.receive, answer)
        except _RefusedError:
            await answer({"type": "http.response.start", "status": 0})

    def deadline(self) -> ArrivalDeadline:
        """Return the deadline of a body whose receipt begins now."""
        return ArrivalDeadline(asyncio.get_running_loop().time(), total_s=self._body_s, gap_s=self._gap_s)


class _Body:
    """The body of one request while it arrives."""

    def __init__(self, limits: BodyLimits, receive: Receive) -> None:
        self.problem: Problem | None = None
        self._limits = limits
        self._receive = receive
        self._deadline: ArrivalDeadline | None = None
        self._complete = False

    async def receive(self) -> Message:
        """Wait for the next piece, until the deadline."""
        if self._complete:
            return await self._receive()
        self._deadline = self._deadline or self._limits.deadline()
        try:
            async with asyncio.timeout_at(self._deadline.at):
                message = await self._receive()
        except TimeoutError as error:
            self.problem = RequestTimeoutError()
            raise _RefusedError from error
        self._deadline.note(len(message.get("body", b"")), asyncio.get_running_loop().time())
        self._complete = not message.get("more_body", False)
        return message
