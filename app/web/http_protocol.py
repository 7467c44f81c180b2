"""Limits on request headers, offers of other protocols, and the answer to malformed HTTP.

This is below the application: no middleware sees a request before its headers are complete.
"""

from asyncio import TimerHandle, Transport
from typing import Any, ClassVar
from uuid import uuid4

import httptools
import structlog
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.web.problems import MalformedRequestError, problem_document
from app.web.request_log import REQUEST_ID

MAX_HEADER_BYTES = 64 * 1024
"""Bytes of a request's headers, and of anything else between two pieces of a body, such as chunked trailers."""
CONNECT = b"CONNECT"
UPGRADE = b"upgrade"

log = structlog.get_logger()


class _RequestParser(httptools.HttpRequestParser):
    """Parses a request that offers another protocol as if it had no `Upgrade` header (RFC 9110, 7.8).

    The parser of `httptools` stops after the headers of such a request, and takes its body for the next request.
    """

    def __init__(self, protocol: "DeadlineProtocol") -> None:
        self._protocol = protocol
        self._reset()

    def _reset(self) -> None:
        """Expect a new request."""
        super().__init__(self._protocol)
        # As uvicorn does it: the bytes after a request with `Connection: close` are no error.
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: Any) -> None:  # noqa: ANN401 - any buffer
        """Parse; at an offer, parse the headers again without it and go on with the body."""
        rest = memoryview(data)
        while True:
            try:
                super().feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                (end_of_headers,) = offer.args
                headers, rest = self._protocol.headers_without_offer(), rest[end_of_headers:]
                # With `Connection: close` the parser would ignore all further bytes.
                self._reset()
                super().feed_data(headers)
            else:
                return


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits: headers that arrive too slowly, or are too large, end the connection.

    Malformed HTTP gets a problem document and ends the connection. So do bytes after a response that do not start a
    request in time, such as the rest of a refused body: uvicorn's keep-alive timer stops at the first such byte.
    An offer of another protocol is ignored: h2c, as Java's client and `curl --http2` send it, and WebSocket.
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
        self.parser = _RequestParser(self)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Count the bytes that are no body; start the timer of bytes that follow a response."""
        self._header_bytes += len(data)
        super().data_received(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            self.transport.close()
        elif self._timer is None and self.cycle is not None and self.cycle.response_complete:
            self._start_timer(self.rest_s)

    def on_message_begin(self) -> None:
        """Start the timer of this request's headers."""
        super().on_message_begin()
        if not self._in_headers:
            self._expect_headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; ignore a trailer, which must not pass for one (RFC 9110, 6.5.1)."""
        if self._in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the timer: `BodyLimits` has another one for the body."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == CONNECT:
                # The bytes after it belong to a tunnel that this server does not open.
                raise httptools.HttpParserError
            return
        self._stop_timer()
        super().on_headers_complete()

    def headers_without_offer(self) -> bytes:
        """Return the request line and the headers as they came, without `Upgrade`."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        kept = (name + b": " + value for name, value in self.headers if name != UPGRADE)
        return b"\r\n".join([method + b" " + self.url + b" HTTP/" + version, *kept, b"", b""])

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on, and count the bytes after it anew."""
        self._header_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body, unless these headers are parsed again."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's text helps no client
        """Answer malformed HTTP, unless the client still waits for the answer to an earlier request."""
        cycle = self.cycle
        earlier = cycle is not None and not cycle.response_complete and (cycle.response_started or not cycle.more_body)
        if not earlier:
            request_id = uuid4().hex
            log.info("malformed request", request_id=request_id)
            headers = {"Connection": "close", REQUEST_ID: request_id}
            self.transport.write(_serialize(problem_document(MalformedRequestError(), headers)))
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
