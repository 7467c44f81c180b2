"""Receivers of every kind, on this machine: each takes what it is sent, and then behaves as it was told to."""

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.callbacks.registration import set_callback
from tests.support.byte_scan import rows
from tests.support.service_fixture import Party, Person, RunningService

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
SOON_S = 120.0
Behaviour = Callable[[socket.socket], object]


def answering(answer: bytes) -> Behaviour:
    """Answer with these bytes, and close."""
    return lambda caller: caller.sendall(answer)


def slow(caller: socket.socket) -> None:
    """Say nothing until the caller has closed the connection."""
    with suppress(OSError):
        while caller.recv(65536):
            pass


def dripping(caller: socket.socket) -> None:
    """Answer a byte at a time, so that no single wait is long, and never come to the end."""
    caller.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    while True:
        caller.sendall(b"x")
        time.sleep(0.1)


def endless(caller: socket.socket) -> None:
    """Answer with a head that has no end."""
    caller.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        caller.sendall(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def huge(caller: socket.socket) -> None:
    """Say yes, and then send a gigabyte."""
    caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(100_000):
        caller.sendall(b"x" * 10_000)


@dataclass
class Receiver:
    """A receiver, and what it was sent: whole requests."""

    port: int
    behaviour: Behaviour
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}/told?token=canary-of-the-callback"

    @property
    def told(self) -> list[dict[str, Any]]:
        """Return the claims of each message."""
        return [claims(one.partition(b"\r\n\r\n")[2].decode()) for one in self.requests]

    @property
    def events(self) -> list[str]:
        """Return what each message says."""
        return [one["event"] for one in self.told]


def claims(token: str) -> dict[str, Any]:
    """Return what a message says, unchecked."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


@contextmanager
def receiving(
    behaviour: Behaviour | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """Receive, in threads."""
    listener = socket.create_server(("127.0.0.1", port))
    receiver = Receiver(listener.getsockname()[1], behaviour or answering(OK))

    def take(caller: socket.socket) -> None:
        with suppress(OSError, ValueError), caller if tls is None else tls.wrap_socket(caller, server_side=True) as one:
            one.settimeout(300)
            receiver.requests.append(_request(one))
            receiver.behaviour(one)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=take, args=[listener.accept()[0]], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield receiver
    finally:
        # Wakes the thread that accepts; closing alone does not.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _request(caller: socket.socket) -> bytes:
    whole = b""
    while b"\r\n\r\n" not in whole:
        if not (piece := caller.recv(65536)):
            raise ValueError("it hung up")
        whole += piece
    head, _, body = whole.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += caller.recv(65536)
    return head + b"\r\n\r\n" + body


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def until(holds: Callable[[], object], *, within_s: float = SOON_S) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def call_back(service: RunningService, party: Party, url: str | None) -> None:
    """Set a party's callback, as the operator's command does."""
    set_callback(service.vault, party_id=UUID(party.id), to=url, private=True, now=service.clock())


def until_later(service: RunningService, holds: Callable[[], object]) -> None:
    """Move the clock by hours, some times, until something holds: a try under way may just have set another wait."""
    for _ in range(6):
        service.clock.advance(hours=8)
        with suppress(AssertionError):
            until(holds)
            return
    until(holds)


def waiting(service: RunningService) -> list[tuple[str, str]]:
    """Read what is in the outbox, past the service."""
    return rows(service.vault.data.path, "SELECT event, subject_ref FROM outbox ORDER BY event")


def deliveries(person: Person) -> list[tuple[str, str]]:
    """Return the person's own list, newest first: event and state."""
    items = person("GET", "/v1/me/deliveries").json()["items"]
    return [(one["event"], one["state"]) for one in items]


def tries(person: Person) -> int:
    """Return how often the newest was sent."""
    count: int = person("GET", "/v1/me/deliveries").json()["items"][0]["tries"]
    return count


def wait_for_try(person: Person, *, after: int = 0) -> None:
    """Wait until it was sent once more."""
    until(lambda: tries(person) > after)


def dead(service: RunningService, name: str = "Door") -> Party:
    """Return a party whose callback nobody answers."""
    party = service.party(name)
    call_back(service, party, f"http://127.0.0.1:{closed_port()}/")
    return party
