"""One POST to a callback: to the address that was checked, in a few seconds, and with a few bytes of the answer read.

* The name is resolved once. Only addresses that may be called are tried, and the connection goes to the very address
  that was looked at: a name that answers otherwise a moment later changes nothing.
* TLS and the `Host` header are about the name as ever, so the certificate has to be the name's.
* No redirect, no proxy, no cookie. Of the answer the status counts, and the rest of it is not read.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx

from app.callbacks.url_rules import Callback, IPAddress, may_be_called, parse_callback
from app.kit.deadline import Deadline

CONNECT_S = 5.0
"""Seconds to be connected to one address."""
WHOLE_S = 10.0
"""Seconds for all of it."""
MOST_BYTES = 8 * 1024
"""Of the answer, its head included; a longer head is as none."""
MOST_ADDRESSES = 4
"""Of one name that are tried."""
OK = range(200, 300)

Resolve = Callable[[str, int], Sequence[str]]
"""From a name and a port to addresses."""


class Outcome(StrEnum):
    """What came of a call."""

    ACKNOWLEDGED = "acknowledged"
    ANSWERED = "answered"
    """With something else than 2xx: the recipient is there, and the next message may fare better."""
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came of a call, and the status or the kind of failure: for the operator."""

    outcome: Outcome
    reason: str


class RefusedAddressError(httpcore.ConnectError):
    """No address of the name may be called."""


class TooMuchError(httpcore.ReadError):
    """The answer is longer than is read."""


def resolve_host(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a name.

    Raises:
        OSError: there are none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class _Bounded(httpcore.NetworkStream):
    """A stream that ends at a moment, and after so many bytes."""

    def __init__(self, stream: httpcore.NetworkStream, until: Deadline, left: int = MOST_BYTES) -> None:
        self._stream, self._until, self._left = stream, until, left

    def _timeout(self, given: float | None) -> float:
        left = self._until.left()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left if given is None else min(left, given)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read some of what is left to be read."""
        if self._left <= 0:
            raise TooMuchError
        piece = self._stream.read(min(max_bytes, self._left), self._timeout(timeout))
        self._left -= len(piece)
        return piece

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write."""
        self._stream.write(buffer, self._timeout(timeout))

    def close(self) -> None:
        """Close."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Go on under TLS, within the same bounds."""
        tls = self._stream.start_tls(ssl_context, server_hostname, self._timeout(timeout))
        return _Bounded(tls, self._until, self._left)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore's
        """Return what the stream says of itself."""
        return self._stream.get_extra_info(info)


class _Checked(httpcore.NetworkBackend):
    """Connects to addresses that may be called, and to nothing else."""

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
        """Resolve *host*, and connect to the first of its addresses that may be called and answers."""
        allowed = [one for one in map(_address, self._resolve(host, port)) if one is not None and self._may(one)]
        failed: httpcore.ConnectError | httpcore.ConnectTimeout = RefusedAddressError()
        for address in allowed[:MOST_ADDRESSES]:
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
                return _Bounded(stream, self._until)
        raise failed

    def _may(self, address: IPAddress) -> bool:
        return may_be_called(address, private=self._private)


def _address(text: str) -> IPAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


class CallbackClient:
    """Sends messages to callbacks.

    Args:
        private: whether callbacks may lead inside, and be `http`.
        resolve: how a name is resolved.
        tls: whose certificates are believed; those that `httpx` believes, if nobody says otherwise.
        whole_s: seconds for one call from its beginning to its end.
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
        self._tls = tls or httpx.create_ssl_context()

    def __call__(self, written: str, body: str) -> CallResult:
        """Send *body*, and say what came of it. It never raises: whatever a recipient does is its answer."""
        try:
            status = self._post(parse_callback(written, private=self._private), body.encode())
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
            # An OSError is the resolver's; a ValueError is of what can be no callback, or cannot be read at all.
            return CallResult(Outcome.UNREACHABLE, type(error).__name__)
        return CallResult(Outcome.ACKNOWLEDGED if status in OK else Outcome.ANSWERED, str(status))

    def _post(self, to: Callback, body: bytes) -> int:
        backend = _Checked(self._resolve, private=self._private, until=Deadline(self._whole_s))
        url = httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.target)
        headers: dict[bytes | str, bytes | str] = {
            "Host": to.netloc,
            "User-Agent": "mien",
            "Accept": "*/*",
            "Content-Type": "application/jose",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        within = {
            "timeout": {"connect": CONNECT_S, "read": self._whole_s, "write": self._whole_s, "pool": self._whole_s}
        }
        with (
            httpcore.ConnectionPool(ssl_context=self._tls, max_connections=1, network_backend=backend) as pool,
            pool.stream("POST", url, headers=headers, content=body, extensions=within) as response,
        ):
            return response.status
