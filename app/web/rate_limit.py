"""How often one address may try what anybody can: registering, and wrong recovery codes. Never a right.

Counted by the library `limits`, in the memory of this process: addresses are written nowhere.
"""

import ipaddress
import math
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.kit.clock import utc_now
from app.kit.errors import TooManyAttemptsError
from app.web.auth import UnauthenticatedError

IPV6_NETWORK = 64
"""Bits of an IPv6 address that one customer holds; the rest they can change at will."""

STEPPED_BACK_S = 5.0
"""Seconds by which a clock has to go back to be taken for set anew, and not for one thread overtaking another."""


class RateLimiter:
    """So many attempts a minute from one address."""

    def __init__(self, name: str, *, per_minute: int) -> None:
        self._counts = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._counts)
        self._latest = 0.0
        self._item = RateLimitItemPerMinute(per_minute, namespace=name)

    def attempt(self, request: Request) -> None:
        """Count one attempt.

        Raises:
            TooManyAttemptsError: there were as many as allowed already.
        """
        address, now = network_of(request), utc_now().timestamp()
        if now < self._latest - STEPPED_BACK_S:
            # The library counts by the wall clock: what it counted would stand until that time comes again.
            self._counts.reset()
        self._latest = now
        if not self._limiter.hit(self._item, address):
            window = self._limiter.get_window_stats(self._item, address)
            raise TooManyAttemptsError(retry_after_s=max(1, math.ceil(window.reset_time - now)))

    @contextmanager
    def failures(self, request: Request) -> Iterator[None]:
        """Count the block as an attempt if it turns out that the credential was wrong: a right one always works."""
        try:
            yield
        except UnauthenticatedError:
            self.attempt(request)
            raise


def network_of(request: Request) -> str:
    """Return the address that a request came from, or the network of an IPv6 address."""
    host = request.client.host if request.client is not None else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        # A socket for both kinds shows IPv4 as `::ffff:192.0.2.1`: one network of IPv6 would hold everybody.
        address = address.ipv4_mapped or address
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))
