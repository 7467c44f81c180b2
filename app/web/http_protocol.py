"""Limits on request headers, and the answer to malformed HTTP.

This is below the application: no middleware sees a request before its headers are complete.
"""

from asyncio import TimerHandle, Transport
from typing import ClassVar

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.web.problems import MalformedRequestError, problem_document

MAX_HEADER_BYTES = 64 * 1024


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits: headers that arrive too slowly, or are too large, end the connection.

    Malformed HTTP gets a problem document and ends the connection. So do bytes after a response that do not start a
    request in time, such as the rest of a refused body: uvicorn's keep-alive timer stops at the first such byte.
    """

    headers_s: ClassVar[float] = 10.0
    """Seconds for the headers of a request; set once, before serving."""
    rest_s: ClassVar[float] = 120.0
    """Seconds from the first byte after a response to the next request. The same as for a body, whose rest those bytes
    may be; set once, before serving."""
    _timer: TimerHandle | None = None
    _in_headers = False
    _header_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start the timer of the first request's headers."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Count the bytes of incomplete headers; start the timer of bytes that follow a response."""
        if self._in_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > MAX_HEADER_BYTES:
            self.transport.close()
        elif self._timer is None and self.cycle is not None and self.cycle.response_complete:
            self._start_timer(self.rest_s)

    def on_message_begin(self) -> None:
        """Start the timer of this request's headers."""
        super().on_message_begin()
        if not self._in_headers:
            self._expect_headers()

    def on_headers_complete(self) -> None:
        """Stop the timer: `BodyLimits` has another one for the body."""
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's text helps no client
        """Answer malformed HTTP, unless the client still waits for the answer to an earlier request."""
        cycle = self.cycle
        earlier = cycle is not None and not cycle.response_complete and (cycle.response_started or not cycle.more_body)
        if not earlier:
            self.transport.write(_serialize(problem_document(MalformedRequestError(), {"Connection": "close"})))
        self.transport.close()

    def _expect_headers(self) -> None:
        self._in_headers, self._header_bytes = True, 0
        self._start_timer(self.headers_s)

    def _start_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_timer(self) -> None:
        self._in_headers = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _serialize(answer: Response) -> bytes:
    lines = [f"HTTP/1.1 {answer.status_code} Bad Request".encode()]
    lines += [name + b": " + value for name, value in answer.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
