"""Limits on all connections together: how many, from one network and in all, and how long a client may not read.

A new connection takes the place of one that waits for its client, from the network with most connections. So rights
stay reachable while others hold connections without using them.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from app.kit.addresses import Networks, client_network, is_within

CHECKS_IN_WRITE_S = 4
PROXIES = "proxies"
"""Instead of a network, for the connections of trusted proxies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """The budgets of connections. Times are in seconds."""

    headers_s: float = 10.0
    """From the first byte of a head to its end, and from the connection to the first byte."""
    body_s: float = 300.0
    """For a body, and for the rest of a body that was refused."""
    body_gap_s: float = 20.0
    """Within which a body must progress."""
    write_s: float = 30.0
    """Within which the client must read a part of an answer."""
    max_body_bytes: int = 64 * 1024 * 1024
    """Bytes of the largest body that any route accepts. A refused body is read to this limit."""
    per_network: int = 64
    """Connections from one IPv4 address, or one /64 network of IPv6."""
    total: int = 512
    """All connections."""
    trusted_proxies: Networks = ()
    """Connections from here are counted in all, and not per network: a proxy brings many people."""


class Phase(IntEnum):
    """The state of a connection, in the order in which connections are ended to make room."""

    IDLE = 0
    HEAD_ARRIVES = 1
    BODY_ARRIVES = 2
    ANSWER_WAITS = 3
    """The client has to read the answer."""
    SERVED = 4
    """The service has to act. Such a connection is not ended."""


class Connection(Protocol):
    """A connection, as far as the limits need it."""

    @property
    def phase(self) -> Phase:
        """The state."""

    def abort(self) -> None:
        """End the connection without a wait for the client."""

    def check_reader(self, now: float) -> None:
        """End the connection if its client does not read."""


class Connections:
    """All open connections of one listener."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._network: dict[Connection, str] = {}
        self._groups: dict[str, dict[Connection, None]] = {}
        self._next_check: asyncio.TimerHandle | None = None

    def admit(self, connection: Connection, host: str, loop: asyncio.AbstractEventLoop) -> bool:
        """Add a connection; end another one if that makes room. False if there is no room."""
        network = PROXIES if self._from_proxy(host) else client_network(host)
        own = {} if network == PROXIES else self._groups.get(network, {})
        if len(own) >= self.limits.per_network and not self._end_one(own, Phase.ANSWER_WAITS):
            return False
        if len(self._network) >= self.limits.total and not self._make_room(len(own)):
            return False
        self._network[connection] = network
        self._groups.setdefault(network, {})[connection] = None
        if self._next_check is None:
            self._check_readers_later(loop)
        return True

    def remove(self, connection: Connection) -> None:
        """Remove a connection that has ended, unless it is removed already."""
        network = self._network.pop(connection, None)
        if network is not None:
            del self._groups[network][connection]
            if not self._groups[network]:
                del self._groups[network]

    def _from_proxy(self, host: str) -> bool:
        # A local socket has no address; only a proxy uses one.
        return not host or is_within(host, self.limits.trusted_proxies)

    def _make_room(self, own: int) -> bool:
        """End a connection of the network with most; of a network with no more than *own*, only an idle one."""
        for network, group in sorted(self._groups.items(), key=lambda item: len(item[1]), reverse=True):
            heavier = network != PROXIES and len(group) > own
            if self._end_one(group, Phase.ANSWER_WAITS if heavier else Phase.IDLE):
                return True
        return False

    def _end_one(self, group: Iterable[Connection], last: Phase) -> bool:
        """End the oldest connection in the first phase, if that is not after *last*."""
        found = min(group, key=lambda connection: connection.phase, default=None)
        if found is None or found.phase > last:
            return False
        self.remove(found)
        found.abort()
        return True

    def _check_readers_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next_check = loop.call_later(self.limits.write_s / CHECKS_IN_WRITE_S, self._check_readers, loop)

    def _check_readers(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._network):
            connection.check_reader(now)
        self._next_check = None
        if self._network:
            self._check_readers_later(loop)
