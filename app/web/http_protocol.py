"""What a head may cost, and what is answered if it is none: uvicorn's HTTP, less patient and in our own words.

It is outside of the application: no middleware sees a request before its head is whole.
"""

from asyncio import TimerHandle, Transport
from typing import ClassVar

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.web.problems import MalformedRequestError, document

MAX_HEADER_BYTES = 64 * 1024


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP with what it lacks: headers that come too slowly, or are too many, end the connection.

    What is no HTTP gets a problem document as any other error, and ends the connection too.

    So does whatever else comes after an answer and begins no request, such as the rest of a body that was refused:
    uvicorn's own clock for an idle connection stops for good at the first such byte.
    """

    headers_s: ClassVar[float] = 10.0
    """Seconds for the head of a request; set once, before serving."""
    rest_s: ClassVar[float] = 120.0
    """Seconds from the first byte after an answer until the next request begins: as for a body, which it may be the
    rest of; set once, before serving."""
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

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - what the parser says is for whoever wrote it
        """Answer what is no HTTP, but not in the place of the answer to an earlier request."""
        cycle = self.cycle
        earlier = cycle is not None and not cycle.response_complete and (cycle.response_started or not cycle.more_body)
        if not earlier:
            self.transport.write(_on_the_wire(document(MalformedRequestError(), {"Connection": "close"})))
        self.transport.close()

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


def _on_the_wire(answer: Response) -> bytes:
    lines = [f"HTTP/1.1 {answer.status_code} Bad Request".encode()]
    lines += [name + b": " + value for name, value in answer.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
