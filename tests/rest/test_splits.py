"""The answers to honest requests do not depend on the pieces in which their bytes arrive."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from app.web.connections import ConnectionLimits
from app.web.http_protocol import create_protocol

pytestmark = pytest.mark.unit

LARGE = 70_000
"""Bytes of a body at which uvicorn stops reading until the application takes them."""
SPELLINGS = ("", "\r\n", "\r\n\r\n")


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the path and the body, or without reading the body."""
    body, more = b"", not scope["path"].startswith("/early")
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    seen = scope["method"].encode() + scope["path"].encode() + b" " + body
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(seen))]})
    await send({"type": "http.response.body", "body": seen})


class FakeTransport(asyncio.Transport):
    """Keeps the bytes that are written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading, self.closed = True, False

    def write(self, data: Any) -> None:
        """Keep the bytes."""
        self.written += data

    def write_eof(self) -> None:
        """Send no more."""

    def close(self) -> None:
        """Close."""
        self.closed = True

    def is_closing(self) -> bool:
        """Return whether it is closed."""
        return self.closed

    def pause_reading(self) -> None:
        """Deliver no more bytes."""
        self.reading = False

    def resume_reading(self) -> None:
        """Deliver bytes again."""
        self.reading = True

    def get_write_buffer_size(self) -> int:
        """Return that all is sent."""
        return 0


CONFIG = uvicorn.Config(_echo, log_config=None, lifespan="off")
CONFIG.load()


async def _answers(pieces: Sequence[bytes]) -> tuple[bytes, bool]:
    """Return the answers to the pieces, and whether the connection stays open."""
    protocol = create_protocol(ConnectionLimits())(CONFIG, ServerState(), {}, asyncio.get_running_loop())
    transport = FakeTransport()
    protocol.connection_made(transport)
    for piece in pieces:
        for _ in range(100):
            if transport.reading:
                break
            await asyncio.sleep(0)
        assert transport.reading, "reading goes on when the request is answered"
        if not transport.closed:
            protocol.data_received(piece)
    for _ in range(400):
        await asyncio.sleep(0)
    stays_open = not transport.closed
    protocol.connection_lost(None)
    return transport.written, stays_open


@dataclass(frozen=True, slots=True)
class HonestRequest:
    """A request, and its answer."""

    head: str
    content: bytes = field(repr=False)
    answer: bytes = field(repr=False)


bodies = st.binary(max_size=40) | st.binary(max_size=40) | st.just(bytes(LARGE))


@st.composite
def requests(draw: st.DrawFn) -> HonestRequest:
    """Return a request."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE"]))
    path = draw(st.sampled_from(["/", "/early", "/a%20b", "/x?y=%2f"]))
    lines = ["Host: mien", *draw(st.lists(st.sampled_from(["X: 1", "Accept: */*", "Connection: keep-alive", "Y:"])))]
    lines += draw(st.sampled_from([[], ["Connection: Upgrade", "Upgrade: h2c"]]))
    body = draw(bodies)
    if draw(st.booleans()):
        lines.append("Transfer-Encoding: chunked")
        sizes = [*draw(st.lists(st.integers(1, 50_000), max_size=3)), len(body)]
        extension = draw(st.sampled_from([b"", b";a=b", b";a"]))
        framed, at = b"", 0
        for size in sizes:
            chunk = body[at : at + size]
            if chunk:
                framed += b"%x" % len(chunk) + extension + b"\r\n" + chunk + b"\r\n"
            at += size
        framed += b"0\r\n\r\n"
    else:
        framed = body
        lines += [f"Content-Length: {len(body)}"] if body or draw(st.booleans()) else []
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""])
    seen = f"{method}{path.partition('?')[0].replace('%20', ' ')} ".encode() + (b"" if path == "/early" else body)
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(seen) + seen
    return HonestRequest(head, draw(st.sampled_from(SPELLINGS)).encode() + head.encode() + framed, answer)


def _cut(content: bytes, at: Sequence[int]) -> list[bytes]:
    """Return the content in pieces, each of them no larger than one read of a server."""
    places = [0, *sorted(place % (len(content) + 1) for place in at), len(content)]
    pieces = [content[begin:end] for begin, end in pairwise(places) if begin < end]
    return [piece[at : at + 200_000] for piece in pieces for at in range(0, len(piece), 200_000)]


places = st.lists(st.integers(0, 10**6), max_size=20)


def _joined(sent: Sequence[HonestRequest]) -> tuple[bytes, bytes]:
    return b"".join(request.content for request in sent), b"".join(request.answer for request in sent)


@settings(max_examples=60)
@given(st.lists(requests(), min_size=1, max_size=4), places)
def test_any_split_of_honest_requests_has_the_same_answers(sent: list[HonestRequest], at: list[int]) -> None:
    content, expected = _joined(sent)

    assert asyncio.run(_answers(_cut(content, at))) == (expected, True)


@settings(max_examples=20)
@given(st.lists(requests().filter(lambda request: len(request.content) < 1000), min_size=1, max_size=3))
def test_honest_requests_that_come_byte_by_byte_have_the_same_answers(sent: list[HonestRequest]) -> None:
    content, expected = _joined(sent)

    assert asyncio.run(_answers([content[at : at + 1] for at in range(len(content))])) == (expected, True)


@settings(max_examples=60)
@given(st.lists(requests(), max_size=2), st.binary(min_size=1, max_size=60), places)
def test_strange_bytes_after_honest_requests_change_no_answer(
    sent: list[HonestRequest], strange: bytes, at: list[int]
) -> None:
    content, expected = _joined(sent)

    answers, _ = asyncio.run(_answers(_cut(content + strange, at)))

    assert answers.startswith(expected)
    assert answers.removeprefix(expected)[:12] in {b"", b"HTTP/1.1 400"}
