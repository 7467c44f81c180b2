"""Send requests as bytes that no HTTP library would send."""

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, Self

import httpx

FORM = {"Content-Type": "multipart/form-data; boundary=x"}
JSON = {"Content-Type": "application/json"}
END = b"--x--\r\n"


def part(name: str, value: bytes, *, filename: str | None = None, more: bytes = b"") -> bytes:
    """Return one part of a form whose boundary is `x`; *more* goes after its headers."""
    named = "" if filename is None else f'; filename="{filename}"'
    return (
        f'--x\r\nContent-Disposition: form-data; name="{name}"{named}'.encode() + more + b"\r\n\r\n" + value + b"\r\n"
    )


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    """Return the head of a request."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: mien",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


@dataclass
class Answer:
    """The answer to one request."""

    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        """Parse the content."""
        return httpx.Response(self.status, content=self.content).json()


class Connection:
    """One connection, kept open."""

    def __init__(self, client: httpx.Client, *, timeout: float = 10) -> None:
        self._socket = socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=timeout)

    def __enter__(self) -> Self:
        """Return the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._socket.close()

    def fileno(self) -> int:
        """Let `select` wait for it."""
        return self._socket.fileno()

    def send(self, *pieces: bytes) -> None:
        """Send bytes as they are."""
        for piece in pieces:
            self._socket.sendall(piece)

    def read(self) -> bytes:
        """Return received bytes; wait for the first."""
        return self._socket.recv(65536)

    def answers(self, count: int = 1) -> list[Answer]:
        """Read *count* answers."""
        stream = self._socket.makefile("rb")
        return [_answer(stream) for _ in range(count)]

    def ended_after(self, dripped: bytes = b"", *, every_s: float = 0.05) -> float:
        """Send one byte at a time, and return the seconds until the server ended the connection."""
        began = time.monotonic()
        self._socket.settimeout(every_s)
        for one in _forever(dripped):
            try:
                self._socket.sendall(one)
                if self._socket.recv(65536) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        return time.monotonic() - began


def _forever(dripped: bytes) -> Iterable[bytes]:
    yield from (dripped[at : at + 1] for at in range(len(dripped)))
    while True:
        yield dripped[-1:]


class _SocketLike:
    """Stands in for the socket that `http.client` needs."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def makefile(self, *_: object) -> Any:
        return _OpenFile(self._stream)


class _OpenFile:
    """A file that stays open after one answer, because the next one follows in it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def close(self) -> None:
        """Stay open."""

    def flush(self) -> None:
        """Do nothing."""


def _answer(stream: Any) -> Answer:
    response = HTTPResponse(_SocketLike(stream))  # type: ignore[arg-type]
    response.begin()
    content = response.read()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)
