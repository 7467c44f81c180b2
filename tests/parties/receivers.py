"""Receivers of callbacks on this machine. Each records its requests, and then behaves in the given way."""

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

from app.callbacks.delivery_worker import DeliveryWorker
from app.callbacks.registration import set_callback
from tests.support.byte_scan import rows
from tests.support.service_fixture import Party, Person, RunningService
from tests.support.sqlite_stores import in_file
from tests.support.waiting import PATIENCE_S

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
Behaviour = Callable[[socket.socket], object]


def answer_with(answer: bytes) -> Behaviour:
    """Answer with these bytes and close the connection."""
    return lambda caller: caller.sendall(answer)


def never_answer(caller: socket.socket) -> None:
    """Read until the caller has closed the connection."""
    with suppress(OSError):
        while caller.recv(65536):
            pass


def answer_slowly(caller: socket.socket) -> None:
    """Answer a byte at a time without end, so that no single wait is long."""
    caller.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    while True:
        caller.sendall(b"x")
        time.sleep(0.1)


def answer_with_endless_headers(caller: socket.socket) -> None:
    """Send header fields without end."""
    caller.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        caller.sendall(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def answer_with_gigabyte(caller: socket.socket) -> None:
    """Answer with 200, then send a body of a gigabyte."""
    caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(100_000):
        caller.sendall(b"x" * 10_000)


@dataclass
class Receiver:
    """A receiver, and the whole requests that it got."""

    port: int
    behaviour: Behaviour
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}/events?token=canary-of-the-callback"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Return the claims of each message."""
        return [read_claims(one.partition(b"\r\n\r\n")[2].decode()) for one in self.requests]

    @property
    def events(self) -> list[str]:
        """Return the event of each message."""
        return [one["event"] for one in self.messages]


def read_claims(token: str) -> dict[str, Any]:
    """Return the claims of a message, without checking its signature."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


@contextmanager
def run_receiver(
    behaviour: Behaviour | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """Run a receiver in threads."""
    listener = socket.create_server(("127.0.0.1", port))
    receiver = Receiver(listener.getsockname()[1], behaviour or answer_with(OK))

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
            raise ValueError("the caller closed the connection")
        whole += piece
    head, _, body = whole.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += caller.recv(65536)
    return head + b"\r\n\r\n" + body


def closed_port() -> int:
    """Return a port on which no program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def set_url(service: RunningService, party: Party, url: str | None) -> None:
    """Set a party's callback, as the operator's command does."""
    set_callback(service.vault, party_id=UUID(party.id), to=url, private=True, now=service.clock())


def deliver(worker: DeliveryWorker) -> None:
    """Try the messages that are due, and wait for the results."""
    worker.start_due()
    worker.wait(within_s=PATIENCE_S)


def list_outbox(service: RunningService) -> list[tuple[str, str]]:
    """Read the outbox from the database: event and reference of each message."""
    return rows(in_file(service.vault.data).path, "SELECT event, subject_ref FROM outbox ORDER BY event")


def list_deliveries(person: Person) -> list[tuple[str, str]]:
    """Return the person's own list, newest first: event and state."""
    items = person("GET", "/v1/me/deliveries").json()["items"]
    return [(one["event"], one["state"]) for one in items]


def count_tries(person: Person) -> int:
    """Return how often the newest message about the person was sent."""
    count: int = person("GET", "/v1/me/deliveries").json()["items"][0]["tries"]
    return count


def unreachable_party(service: RunningService, name: str = "Door") -> Party:
    """Return a party with a callback at which no program listens."""
    party = service.party(name)
    set_url(service, party, f"http://127.0.0.1:{closed_port()}/")
    return party
