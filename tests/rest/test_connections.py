"""Limits on connections: their number, one request at a time, clients that do not read, and bodies that stop."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import Any, Self

import pytest

from app.kit.addresses import client_network, is_within, parse_networks
from app.web.body_limits import MIN_PROGRESS_BYTES, ArrivalDeadline
from app.web.connections import ConnectionLimits
from tests.rest.raw_http import Answer, Connection, head
from tests.support.service_fixture import listening
from tests.support.waiting import wait_until

SHORT_S = 0.6
PIECE = bytes(64 * 1024)
SIZE = 16 * 1024 * 1024
"""More bytes than the system takes for one connection."""


class Application:
    """Answers by path, and counts the requests that it has in work."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.begun = self.working = 0
        self.go_on = Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        self.begun += 1
        self.working += 1
        try:
            await getattr(self, f"answer_{scope['path'][1:]}")(receive, send)
        finally:
            self.working -= 1

    async def answer_quick(self, _receive: Any, send: Any) -> None:
        """Answer at once."""
        number = str(self.begun).encode()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(number))]}
        )
        await send({"type": "http.response.body", "body": number})

    async def answer_body(self, receive: Any, send: Any) -> None:
        """Answer after the body."""
        while (await receive()).get("more_body"):
            pass
        await self.answer_quick(receive, send)

    async def answer_wait(self, receive: Any, send: Any) -> None:
        """Answer when the test allows it."""
        while not self.go_on.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.005)
        await self.answer_quick(receive, send)

    async def answer_export(self, receive: Any, send: Any) -> None:
        """Send pieces until the client is gone."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(receive())
        while not (gone.done() and gone.result()["type"] == "http.disconnect"):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            await asyncio.sleep(0)
            if gone.done() and gone.result()["type"] != "http.disconnect":
                gone = asyncio.ensure_future(receive())

    async def answer_large(self, _receive: Any, send: Any) -> None:
        """Send one large piece."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % SIZE)]})
        await send({"type": "http.response.body", "body": bytes(SIZE)})


class Client(Connection):
    """A connection from an address of its own, with a small buffer."""

    def __init__(self, application: Application, address: str = "127.0.0.1") -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.bind((address, 0))
        self._socket.settimeout(20)
        self._socket.connect(("127.0.0.1", application.port))

    def ask(self, path: str, **headers: str) -> Self:
        """Send the head of a request."""
        self.send(head("POST" if headers else "GET", path, {name.replace("_", "-"): headers[name] for name in headers}))
        return self

    def answer(self) -> Answer:
        """Return the next answer."""
        return self.answers()[0]

    def gone(self) -> bool:
        """Return whether the server has ended the connection, without reading its bytes."""
        self._socket.settimeout(0)
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self._socket.settimeout(20)

    def is_reset(self) -> bool:
        """Return whether the server has aborted the connection, also with unread bytes before that."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


@contextmanager
def serving(**limits: Any) -> Iterator[Application]:
    """Serve an application with these limits; without connections of its own."""
    application = Application()
    with listening(application, ConnectionLimits(**limits)) as application.port:
        yield application


@pytest.mark.service
def test_one_request_of_a_connection_is_parsed_at_a_time() -> None:
    with serving() as application, Client(application) as client:
        client.send(head("GET", "/wait", {}) * 3 + head("GET", "/quick", {}) * 50)
        wait_until(lambda: application.begun)
        with Client(application) as other:
            begun_before = other.ask("/quick").answer().content
        application.go_on.set()
        answers = [int(answer.content) for answer in client.answers(53)]

    assert begun_before == b"2", "the first of the pipelined requests, and this one"
    assert answers == [2, *range(3, 5), *range(5, 55)] or answers == sorted(answers)


@pytest.mark.service
def test_pipelined_requests_wait_until_the_client_reads() -> None:
    with serving(write_s=60) as application, Client(application) as client:
        client.send(head("GET", "/large", {}) * 4)
        wait_until(lambda: application.begun)
        with Client(application) as other:
            other.ask("/quick").answer()

        assert application.begun == 2
        assert [len(answer.content) for answer in client.answers(4)] == [SIZE] * 4


@pytest.mark.service
@pytest.mark.parametrize("path", ["/export", "/large"])
def test_a_client_that_never_reads_is_aborted(path: str) -> None:
    with serving(write_s=SHORT_S) as application, Client(application) as client:
        client.ask(path)

        wait_until(client.is_reset)
        wait_until(lambda: not application.working)


@pytest.mark.service
def test_a_client_that_reads_slowly_gets_its_answer() -> None:
    with serving(write_s=SHORT_S) as application, Client(application) as client:
        client.ask("/large")
        began, received = time.monotonic(), 0
        while time.monotonic() < began + 4 * SHORT_S:
            received += len(client.read())
            time.sleep(SHORT_S / 20)
        while received < SIZE:
            received += len(client.read())

    assert received > SIZE


@pytest.mark.service
def test_the_oldest_idle_connection_of_an_address_makes_room() -> None:
    with serving(per_network=4) as application, ExitStack() as stack:
        clients = [stack.enter_context(Client(application)) for _ in range(4)]
        for client in clients:
            client.ask("/quick").answer()
        clients[0].ask("/body", Content_Length="3").send(b"a")
        assert not clients[0].gone()
        fifth = stack.enter_context(Client(application))

        assert fifth.ask("/quick").answer().status == 200
        assert [client.gone() for client in clients] == [False, True, False, False]
        clients[0].send(b"bc")
        assert clients[0].answer().status == 200


@pytest.mark.service
def test_connections_in_work_are_not_ended_for_another() -> None:
    with serving(per_network=4) as application, ExitStack() as stack:
        clients = [stack.enter_context(Client(application)).ask("/wait") for _ in range(4)]
        wait_until(lambda: application.working == 4)
        refused = stack.enter_context(Client(application)).answer()
        other = stack.enter_context(Client(application, "127.0.0.2")).ask("/quick").answer()
        application.go_on.set()

        assert (refused.status, refused.json()["type"]) == (503, "urn:mien:problem:busy")
        assert {"retry-after", "x-request-id"} <= set(refused.headers)
        assert other.status == 200
        assert [client.answer().status for client in clients] == [200] * 4


@pytest.mark.service
@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"POST /body HTTP/1.1\r\nHost: mien\r\nContent-Length: 9\r\n\r\na"])
def test_held_connections_of_some_addresses_keep_no_other_address_out(sent: bytes) -> None:
    with serving(per_network=4, total=8) as application, ExitStack() as stack:
        held = [stack.enter_context(Client(application, f"127.0.0.{2 + number % 2}")) for number in range(8)]
        for client in held:
            client.send(sent)
        strangers = [stack.enter_context(Client(application, f"127.0.0.{10 + number}")) for number in range(3)]

        assert [client.ask("/quick").answer().status for client in strangers] == [200] * 3
        wait_until(lambda: sum(client.gone() for client in held) == 3)


@pytest.mark.service
def test_the_connections_of_a_trusted_proxy_are_counted_in_all_only() -> None:
    with (
        serving(per_network=4, total=8, trusted_proxies=parse_networks("127.0.0.1")) as application,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(Client(application)).ask("/wait") for _ in range(8)]
        wait_until(lambda: application.working == 8)
        refused = stack.enter_context(Client(application)).answer()
        application.go_on.set()

        assert refused.status == 503
        assert [client.answer().status for client in clients] == [200] * 8


@pytest.mark.service
def test_the_rest_of_a_refused_body_that_stops_ends_the_connection() -> None:
    with serving(body_s=600, body_gap_s=SHORT_S) as application, Client(application) as client:
        client.ask("/quick", Content_Length="100000").send(bytes(10))

        assert client.answer().status == 200
        assert 0.3 < client.ended_after(b"1") < 8


@pytest.mark.service
def test_a_refused_body_is_read_up_to_the_largest_body() -> None:
    with serving(max_body_bytes=300_000) as application, Client(application) as client:
        client.ask("/quick", Content_Length="1000000000").answer()
        client.send(bytes(290_000))
        assert not client.gone()
        client.send(bytes(20_000))

        wait_until(client.gone)


@pytest.mark.unit
def test_a_slow_body_is_awaited_while_it_progresses() -> None:
    deadline = ArrivalDeadline(0, total_s=300, gap_s=20)
    for second in range(250):
        assert second < deadline.at
        deadline.note(50_000, second)

    assert deadline.at == 249 + 20
    for second in range(250, 269):
        deadline.note(MIN_PROGRESS_BYTES // 20, second)
    assert deadline.at == 249 + 20
    deadline.note(MIN_PROGRESS_BYTES, 295)
    assert deadline.at == 300


@pytest.mark.unit
@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_address_counts_with_its_network(host: str, network: str) -> None:
    assert client_network(host) == network


@pytest.mark.unit
def test_the_addresses_of_proxies() -> None:
    networks = parse_networks("10.0.0.0/8, 2001:db8::1")

    assert [is_within(host, networks) for host in ("10.1.2.3", "::ffff:10.1.2.3", "11.0.0.1", "2001:db8::2", "")] == [
        *(True, True, False, False, False)
    ]
    assert is_within("192.0.2.1", parse_networks("*"))
    assert is_within("2001:db8::1", parse_networks("*"))
    assert not is_within("192.0.2.1", parse_networks(""))
