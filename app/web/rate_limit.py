"""Limit how often one network address may register or send wrong recovery codes. Rights have no such limit.

The counts are in the memory of this process; no address is written to disk. So of several processes each allows the
whole number. A code has 256 random bits: more guesses gain nothing. The limits only bound the work of one process.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.kit.addresses import client_network
from app.kit.clock import utc_now
from app.kit.errors import TooManyAttemptsError
from app.web.callers import UnauthenticatedError

CLOCK_SET_BACK_S = 5.0
"""Seconds. A smaller step back in time is one thread overtaking another, not a clock that was set."""


class RateLimiter:
    """Allows a number of attempts per minute from one network address."""

    def __init__(self, name: str, *, per_minute: int) -> None:
        self._counts = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._counts)
        self._latest = 0.0
        self._item = RateLimitItemPerMinute(per_minute, namespace=name)

    def attempt(self, request: Request) -> None:
        """Count one attempt.

        Raises:
            TooManyAttemptsError: the address has used all its attempts.
        """
        address, now = network_of(request), utc_now().timestamp()
        if now < self._latest - CLOCK_SET_BACK_S:
            # The library uses the wall clock: old counts would last until that time comes again.
            self._counts.reset()
        self._latest = now
        if not self._limiter.hit(self._item, address):
            window = self._limiter.get_window_stats(self._item, address)
            raise TooManyAttemptsError(retry_after_s=max(1, math.ceil(window.reset_time - now)))

    @contextmanager
    def failures(self, request: Request) -> Iterator[None]:
        """Count an attempt if the block refuses the credential: a correct one is never limited."""
        try:
            yield
        except UnauthenticatedError:
            self.attempt(request)
            raise


def network_of(request: Request) -> str:
    """Return the IPv4 address of the client, or the network of its IPv6 address."""
    return client_network(request.client.host if request.client is not None else "")
