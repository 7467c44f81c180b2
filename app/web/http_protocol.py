"""HTTP on one connection: budgets of bytes and seconds, offers of other protocols, and the answer to malformed HTTP.

This is below the application: no middleware sees a request before its head is complete.
"""

from asyncio import TimerHandle, Transport
from typing import Any, ClassVar
from uuid import uuid4

import httptools
import structlog
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.kit.errors import BusyError, Problem
from app.web.body_limits import ArrivalDeadline
from app.web.connections import ConnectionLimits, Connections, Phase
from app.web.counted_transport import CountedTransport
from app.web.http_profile import body_length, check_head
from app.web.message_framing import FramingError, MessageFraming
from app.web.problems import MalformedRequestError, problem_document
from app.web.read_turns import Pause, ReadTurns, TurnFlow
from app.web.request_log import REQUEST_ID

CONNECT = b"CONNECT"
UPGRADE = b"upgrade"
LINGER_S = 2.0
"""Seconds in which the bytes after a refused request are read and dropped."""
MAX_DROPPED_BYTES = 1024 * 1024
TOO_MANY_CONNECTIONS = (
    "All connections that your network may have are in use. Wait until one has ended, then open a new one."
)

log = structlog.get_logger()


class _RequestParser(httptools.HttpRequestParser):
    """Parses a request that offers another protocol as if it had no `Upgrade` header (RFC 9110, 7.8).

    The parser of `httptools` stops after the headers of such a request, and takes its body for the next request.
    """

    def __init__(self, protocol: "LimitedProtocol") -> None:
        self._protocol = protocol
        super().__init__(protocol)

    def feed_data(self, data: Any) -> None:  # noqa: ANN401 - any buffer
        """Parse; after the head of an offer, parse the head again without it."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade:
            head = self._protocol.headers_without_offer()
            # A new state: with `Connection: close` the old one would refuse further bytes.
            super().__init__(self._protocol)
            super().feed_data(head)


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits; a request beyond them ends its connection.

    One request is parsed at a time. Later bytes wait, and reading is paused, until it is answered and the client has
    read earlier answers. Malformed HTTP gets a problem document and ends the connection. An offer of another protocol
    is ignored: h2c, as Java's client and `curl --http2` send it, and WebSocket.
    """

    open_connections: ClassVar[Connections]
    read_turns: ClassVar[ReadTurns]
    transport: CountedTransport  # type: ignore[assignment]
    flow: TurnFlow

    def __init__(self, *options: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Take uvicorn's options."""
        super().__init__(*options, **named)
        self._limits = self.open_connections.limits
        self._framing = MessageFraming(self._limits.max_body_bytes)
        self._unparsed = b""
        self._timer: TimerHandle | None = None
        self._rest: ArrivalDeadline | None = None
        self._fault: Problem | None = None
        self._message_complete = self._refused = False
        self._dropped = 0

    @property
    def phase(self) -> Phase:
        """The state of the connection."""
        if self._refused:
            return Phase.IDLE
        answered = self.cycle is None or self.cycle.response_complete
        if self.transport.get_write_buffer_size():
            return Phase.ANSWER_WAITS
        if self._framing.complete:
            return Phase.IDLE if answered else Phase.SERVED
        if not self._framing.begun:
            return Phase.IDLE
        return Phase.BODY_ARRIVES if self._framing.in_body else Phase.HEAD_ARRIVES

    def abort(self) -> None:
        """End the connection without a wait for the client."""
        self.transport.reset()

    def check_reader(self, now: float) -> None:
        """End the connection if its client does not read the answer."""
        if self.transport.unread_for(now) >= self._limits.write_s:
            log.info("answer not read")
            self.abort()

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Count the connection, and start the timer of the first request's head."""
        super().connection_made(CountedTransport(transport))  # type: ignore[arg-type]
        self.flow = TurnFlow(transport)
        self.parser = _RequestParser(self)
        if self.open_connections.admit(self, self.client[0] if self.client else "", self.loop):
            self._start_timer(self._limits.headers_s)
        else:
            self._answer(BusyError(TOO_MANY_CONNECTIONS))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer, and forget the connection and its bytes."""
        self._stop_timer()
        self._unparsed = b""
        self.open_connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, as far as the request in progress allows it."""
        if self._refused:
            self._dropped += len(data)
            if self._dropped > MAX_DROPPED_BYTES:
                self.transport.close()
            return
        self._unset_keepalive_if_required()
        self._unparsed += data
        self._parse()

    def on_response_complete(self) -> None:
        """Go on with the bytes that wait."""
        super().on_response_complete()
        self._parse_waiting()

    def resume_writing(self) -> None:
        """Go on with the bytes that wait."""
        super().resume_writing()
        self._parse_waiting()

    def on_headers_complete(self) -> None:
        """Check the head. Its timer stops: `BodyLimits` has another one for the body."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == CONNECT:
                # The bytes after it belong to a tunnel that this server does not open.
                self._refuse(MalformedRequestError())
            return
        if not self._framing.head_complete:
            self._refuse(MalformedRequestError())
        try:
            check_head(version=self.parser.get_http_version(), target=self.url, fields=self.headers)
        except MalformedRequestError as problem:
            self._refuse(problem)
        self._stop_timer()
        self._rest = None
        self._framing.expect_body(body_length(self.headers))
        super().on_headers_complete()

    def headers_without_offer(self) -> bytes:
        """Return the request line and the headers as they came, without `Upgrade`."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        kept = (name + b": " + value for name, value in self.headers if name != UPGRADE)
        return b"\r\n".join([method + b" " + self.url + b" HTTP/" + version, *kept, b"", b""])

    def on_message_complete(self) -> None:
        """End the body, unless this head is parsed again."""
        if self.parser.should_upgrade():
            return
        self._message_complete = True
        super().on_message_complete()

    def _refuse(self, problem: Problem) -> None:
        """Let the parser fail, and remember the reason: the parser's own error hides it."""
        self._fault = problem
        raise httptools.HttpParserError

    def _parse_waiting(self) -> None:
        if self._unparsed and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._parse()

    def _parse(self) -> None:
        """Parse until the end of a request that is not answered yet; keep the rest, and pause reading."""
        data, at = self._unparsed, 0
        try:
            while at < len(data) and self._may_parse():
                at = self._parse_part(data, at)
        except (httptools.HttpParserError, FramingError) as error:
            data, self._fault = b"", error.problem if isinstance(error, FramingError) else self._fault
            self._answer(self._fault or MalformedRequestError())
        self._unparsed = data[at:]
        if self._refused or self.transport.is_closing():
            return
        if self._timer is None and not self._framing.head_complete:
            self._start_timer(self._limits.headers_s)
        if self._unparsed:
            self.flow.pause(Pause.UNPARSED)
        else:
            self.flow.resume(Pause.UNPARSED)
        if self._framing.in_body:
            self.read_turns.wait(self.flow, self.loop)

    def _may_parse(self) -> bool:
        """Return whether the next byte may be parsed; begin the next request if it belongs to one."""
        if self.transport.is_closing():
            return False
        if self._framing.complete:
            if not self.cycle.response_complete or self.flow.write_paused:
                return False
            self._framing.expect_head()
            self._message_complete = False
            self._stop_timer()
        return True

    def _parse_part(self, data: bytes, at: int) -> int:
        begin = self._framing.skip_empty_lines(data, at)
        if begin == len(data):
            return begin
        end = self._framing.end_of_part(data, begin)
        self.parser.feed_data(data[begin:end])
        self._framing.end_part()
        if self._framing.complete is not self._message_complete:
            raise FramingError(MalformedRequestError())
        if self._framing.in_body and self.cycle.response_complete:
            self._await_rest(end - begin)
        elif self._rest is not None and self._framing.complete:
            self._start_timer(self.timeout_keep_alive)
        return end

    def _await_rest(self, count: int) -> None:
        """Limit the time for the rest of a body whose request is answered."""
        now = self.loop.time()
        self._rest = self._rest or ArrivalDeadline(now, total_s=self._limits.body_s, gap_s=self._limits.body_gap_s)
        self._rest.note(count, now)
        self._start_timer(self._rest.at - now)

    def _answer(self, problem: Problem) -> None:
        """Answer a request that the application does not get, if an answer is still possible; end the connection."""
        if self._framing.in_body:
            if self.cycle.response_started:
                self.transport.close()
                return
            # The application stops to wait for the body.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        request_id = uuid4().hex
        log.info("request refused", request_id=request_id, problem=problem.slug)
        self.transport.write(_serialize(problem_document(problem, {"Connection": "close", REQUEST_ID: request_id})))
        # Bytes that arrive at a closed connection would make the client's system discard the answer.
        self.transport.write_eof()
        self._refused = True
        for reason in Pause:
            self.flow.resume(reason)
        self._start_timer(LINGER_S)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def create_protocol(limits: ConnectionLimits) -> type[LimitedProtocol]:
    """Return a protocol whose connections share *limits*: the option `http` of uvicorn."""

    class SharingProtocol(LimitedProtocol):
        open_connections = Connections(limits)
        read_turns = ReadTurns()

    return SharingProtocol


def _serialize(answer: Response) -> bytes:
    lines = [STATUS_LINE[answer.status_code].removesuffix(b"\r\n")]
    lines += [name + b": " + value for name, value in answer.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
