"""Send one POST to a callback, only to a checked address, with limits on time and on bytes read.

* The name is resolved once. Only allowed addresses are tried, and the connection goes to exactly the checked address. A
  name that resolves differently a moment later changes nothing.
* TLS and the `Host` header use the name, so the certificate has to be valid for the name.
* Redirects, proxies and cookies are not used. Only the status of the response is read.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx

from app.callbacks.url_rules import Callback, IPAddress, may_be_called, parse_callback
from app.kit.deadline import Deadline

CONNECT_S = 5.0
"""Seconds to connect to one address."""
WHOLE_S = 10.0
"""Seconds for the whole request."""
MAX_BYTES = 8 * 1024
"""Longest response that is read, with its head; a longer head counts as no response."""
MAX_ADDRESSES = 4
"""Addresses tried for one name."""
OK = range(200, 300)

Resolve = Callable[[str, int], Sequence[str]]
"""Resolves a name and a port to addresses."""


class Outcome(StrEnum):
    """The outcome of a request."""

    ACKNOWLEDGED = "acknowledged"
    ANSWERED = "answered"
    """Not with 2xx: the recipient is reachable, and may accept the next message."""
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class CallResult:
    """The outcome of a request, and for the operator the status or the kind of failure."""

    outcome: Outcome
    reason: str


class RefusedAddressError(httpcore.ConnectError):
    """No address of the name is allowed."""


class TooMuchError(httpcore.ReadError):
    """The response is longer than the limit."""


def resolve_host(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, from the system's resolver.

    Raises:
        OSError: the name has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class _LimitedStream(httpcore.NetworkStream):
    """A stream with a deadline and a limit on bytes read."""

    def __init__(self, stream: httpcore.NetworkStream, until: Deadline, left: int = MAX_BYTES) -> None:
        self._stream, self._until, self._left = stream, until, left

    def _timeout(self, given: float | None) -> float:
        left = self._until.left()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left if given is None else min(left, given)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._left <= 0:
            raise TooMuchError
        piece = self._stream.read(min(max_bytes, self._left), self._timeout(timeout))
        self._left -= len(piece)
        return piece

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._timeout(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        tls = self._stream.start_tls(ssl_context, server_hostname, self._timeout(timeout))
        return _LimitedStream(tls, self._until, self._left)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore's
        return self._stream.get_extra_info(info)


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects only to allowed addresses."""

    def __init__(self, resolve: Resolve, *, private: bool, until: Deadline) -> None:
        self._resolve, self._private, self._until = resolve, private, until
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve *host* and connect to the first allowed address that answers."""
        found = map(_address, self._resolve(host, port))
        allowed = [one for one in found if one is not None and may_be_called(one, private=self._private)]
        failed: httpcore.ConnectError | httpcore.ConnectTimeout = RefusedAddressError()
        for address in allowed[:MAX_ADDRESSES]:
            left = self._until.left()
            if left <= 0:
                raise httpcore.ConnectTimeout
            try:
                stream = self._backend.connect_tcp(
                    str(address), port, min(left, timeout or CONNECT_S), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _LimitedStream(stream, self._until)
        raise failed


def _address(text: str) -> IPAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


@cache
def _default_tls() -> ssl.SSLContext:
    """Return the trusted certificates of `httpx`. Reading them takes some 50 ms, so it happens once."""
    return httpx.create_ssl_context()


class CallbackClient:
    """Sends messages to callbacks.

    Args:
        private: whether callbacks may use `http` and private addresses.
        resolve: resolves names.
        tls: trusted certificates; by default those of `httpx`.
        whole_s: seconds for the whole request.
    """

    def __init__(
        self,
        *,
        private: bool,
        resolve: Resolve = resolve_host,
        tls: ssl.SSLContext | None = None,
        whole_s: float | None = None,
    ) -> None:
        self._private, self._resolve, self._whole_s = private, resolve, whole_s or WHOLE_S
        self._tls = tls or _default_tls()

    def __call__(self, url: str, body: str) -> CallResult:
        """Send *body* and return the result. Every failure is a result; none raises."""
        try:
            status = self._post(parse_callback(url, private=self._private), body.encode())
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
            # OSError: from the resolver. ValueError: the URL is not allowed, or the response is malformed.
            return CallResult(Outcome.UNREACHABLE, type(error).__name__)
        return CallResult(Outcome.ACKNOWLEDGED if status in OK else Outcome.ANSWERED, str(status))

    def _post(self, to: Callback, body: bytes) -> int:
        backend = _CheckedBackend(self._resolve, private=self._private, until=Deadline(self._whole_s))
        url = httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.target)
        headers: dict[bytes | str, bytes | str] = {
            "Host": to.netloc,
            "User-Agent": "mien",
            "Accept": "*/*",
            "Content-Type": "application/jose",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        timeout = dict.fromkeys(("read", "write", "pool"), self._whole_s) | {"connect": CONNECT_S}
        with (
            httpcore.ConnectionPool(ssl_context=self._tls, max_connections=1, network_backend=backend) as pool,
            pool.stream("POST", url, headers=headers, content=body, extensions={"timeout": timeout}) as response,
        ):
            return response.status
