"""Attacks on connections, without a login: endless framing, pipelining, clients that do not read, held connections."""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread

import httpx
import psutil
import pytest

from tests.attacks.limited_service import SLOWER, is_up, limited_service, repeat, resident_bytes, watching
from tests.rest.raw_http import JSON, head
from tests.support.launcher import Program
from tests.support.service_fixture import Person
from tests.support.waiting import wait_until

pytestmark = pytest.mark.service
MIB = 1 << 20
MEMORY_BOUND = 96 * MIB
"""Bytes that the process may grow by: 64 connections with 256 KiB each that wait, and as much for the allocator."""
CHUNKED = head("POST", "/v1/subjects", JSON | {"Transfer-Encoding": "chunked"})
SENT = 78 * MIB
"""Bytes that ended the process, as trailers."""
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "trailers": (CHUNKED + b"1\r\n{\r\n0\r\n", b"a:b\r\n"),
    "trailers of an empty body": (CHUNKED + b"0\r\n", b"a:b\r\n"),
    "one long trailer": (CHUNKED + b"0\r\nX: ", b"aaaaaaaa"),
    "chunk extensions": (CHUNKED, b"1;" + b"a" * 1000 + b"\r\n \r\n"),
    "one long chunk extension": (CHUNKED + b"1;", b"aaaaaaaa"),
    "tiny chunks": (CHUNKED, b"1\r\n \r\n"),
    "zeros of a chunk's size": (CHUNKED, b"00000000"),
    "fields": (b"GET /livez HTTP/1.1\r\n", b"a:b\r\n"),
    "one long field": (b"GET /livez HTTP/1.1\r\nX: ", b"aaaaaaaa"),
    "a long path": (b"GET /", b"aaaaaaaa"),
    "pipelined requests": (b"", head("GET", "/livez", {})),
    "pipelined refusals": (b"", head("GET", "/v1/me", {})),
    "pipelined documents": (b"", head("GET", "/openapi.json", {})),
    "pipelined bodies": (b"", head("POST", "/v1/subjects", JSON | {"Content-Length": "2000"}) + b" " * 2000),
    "the rest of a refused body": (head("POST", "/v1/me/consents", {"Content-Length": "99999999999"}), bytes(1000)),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program with the memory of a small machine, and short times for clients."""
    root = tmp_path_factory.mktemp("attacked") / "service"
    with limited_service(root, MIEN_HEADERS_TIMEOUT_S="3", MIEN_BODY_GAP_S="3", MIEN_WRITE_TIMEOUT_S="3") as running:
        yield running


@pytest.fixture
def person(service: Program) -> Person:
    """A subject that has nothing to do with the attack."""
    return service.person("Ada")


def connect(service: Program, address: str = "127.0.0.1") -> socket.socket:
    """Return a connection with a small buffer for answers."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.bind((address, 0))
    connection.settimeout(1)
    connection.connect((service.client.base_url.host, service.client.base_url.port or 80))
    return connection


def send_endlessly(connection: socket.socket, begin: bytes, repeated: bytes) -> None:
    """Send until the server takes no more, without reading."""
    block = repeated * (MIB // len(repeated))
    with suppress(OSError):
        connection.sendall(begin)
        for _ in range(SENT // MIB):
            connection.sendall(block)


def held(service: Program, attackers: Sequence[socket.socket]) -> int:
    """Return how many of the attackers' connections the service holds."""
    ports = {attacker.getsockname()[1] for attacker in attackers}
    connections = psutil.Process(service.process.pid).net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.port in ports for one in connections)


@contextmanager
def unharmed(service: Program, person: Person) -> Iterator[None]:
    """Check that others are answered during the attack, and that the service is up and small after it."""
    before = resident_bytes(service)
    with ExitStack() as stack:
        clients = [stack.enter_context(httpx.Client(base_url=service.client.base_url, timeout=60)) for _ in range(2)]
        bearer = {"Authorization": f"Bearer {person.token}"}
        # Each on a new connection, as a stranger in need has none.
        close = {"Connection": "close"}
        requests: tuple[Callable[[], httpx.Response], ...] = (
            lambda: clients[0].get("/livez", headers=close),
            lambda: clients[1].get("/v1/me", headers=bearer | close),
        )
        slowest = [SLOWER * repeat(send, times=5).median() for send in requests]
        livez, rights = (stack.enter_context(watching(send)) for send in requests)
        yield
        wait_until(lambda: min(len(livez.seconds), len(rights.seconds)) > 5)
    grown = resident_bytes(service) - before
    assert set(livez.statuses) == set(rights.statuses) == {200}
    # The median, and more time on a machine that was slow before the attack, because it may have other work.
    assert livez.median() < max(0.5, slowest[0])
    assert rights.median() < max(2, slowest[1])
    assert grown < MEMORY_BOUND
    assert is_up(service)
    assert person("GET", "/v1/me/access").status_code == 200


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_bytes_take_no_memory(service: Program, person: Person, name: str) -> None:
    begin, repeated = ENDLESS[name]

    with unharmed(service, person), ExitStack() as stack:
        attackers = [stack.enter_context(connect(service)) for _ in range(20)]
        threads = [Thread(target=send_endlessly, args=(one, begin, repeated)) for one in attackers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_clients_that_never_read_are_ended(service: Program, person: Person) -> None:
    with unharmed(service, person), ExitStack() as stack:
        attackers = [stack.enter_context(connect(service)) for _ in range(60)]
        for attacker in attackers:
            attacker.sendall(head("GET", "/openapi.json", {}) * 30)
        wait_until(lambda: held(service, attackers) == 0)


def test_half_sent_requests_are_ended(service: Program, person: Person) -> None:
    with unharmed(service, person), ExitStack() as stack:
        attackers = [stack.enter_context(connect(service)) for _ in range(60)]
        for number, attacker in enumerate(attackers):
            begun = head("POST", "/v1/subjects", JSON | {"Content-Length": "100"}) + b"{"
            attacker.sendall(begun[: None if number % 2 else 30])
        wait_until(lambda: held(service, attackers) == 0)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nX: ", CHUNKED], ids=["silent", "half a head", "half a body"])
def test_held_connections_keep_no_other_out(service: Program, person: Person, sent: bytes) -> None:
    """From the address of the others, and from twelve more, so that all connections of the service are in use."""
    with unharmed(service, person), ExitStack() as stack:
        for number in range(13 * 64):
            attacker = stack.enter_context(connect(service, f"127.0.0.{1 + number // 64}"))
            with suppress(OSError):
                attacker.sendall(sent)
