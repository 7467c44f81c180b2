"""Where a callback may lead, pure: which addresses are written like that, and which hosts they may turn out to be.

A name says nothing: what it is resolved to is looked at, each time, and the connection goes to the very address that
was looked at (`calling`). Refused is everything but global unicast: an address that leads inside, to this machine or to
its neighbours, or that carries another address in it, would make the service knock at doors that are closed to others.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

LARGEST = 2000
"""Characters of an address."""
PORTS = {"https": 443, "http": 80}
MOST_PORTS = 65_535

IPAddress = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


def _networks(*written: str) -> tuple[_Network, ...]:
    return tuple(ip_network(one) for one in written)


GLOBAL_IPV6 = IPv6Network("2000::/3")
"""What is out in the world at all; so not 64:ff9b::/96 (NAT64), ::ffff:0:0/96 (IPv4-mapped) and the like."""
NOT_OUT_THERE = _networks(
    "0.0.0.0/8",  # this network, unspecified
    "10.0.0.0/8",  # private
    "100.64.0.0/10",  # behind a carrier's NAT
    "127.0.0.0/8",  # loopback
    "169.254.0.0/16",  # link-local, and where clouds answer about their machines
    "172.16.0.0/12",  # private
    "192.0.0.0/24",  # IETF protocols
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # relays of 6to4
    "192.168.0.0/16",  # private
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, broadcast
    "2001::/23",  # IETF protocols, with Teredo, which carries an IPv4 address
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4, which carries an IPv4 address
    "3fff::/20",  # documentation
)
"""The rest of the IANA registries of special-purpose addresses (RFC 6890)."""
KEYS_OF_CLOUDS = _networks("fd00:ec2::254/128", "100.100.100.200/32", "168.63.129.16/32")
"""Where some clouds answer about their machines, though it is not link-local: never called. Others do so elsewhere."""
INSIDE = _networks(
    "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"
)
"""What `MIEN_CALLBACK_PRIVATE` allows besides. Link-local stays closed: clouds hand out their keys there."""

_WRITTEN = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)",
    re.ASCII,
)
"""Nothing that two programs could read differently: no user, no fragment, no escape in the host."""


class CallbackError(ValueError):
    """It can be no callback; the text says why."""


@dataclass(frozen=True, slots=True)
class Callback:
    """An address that was taken apart, once."""

    scheme: str
    host: str
    """A name, or an address without brackets."""
    port: int
    target: str
    """Path and query; the query may hold what only the recipient knows, and is shown to nobody."""

    @property
    def netloc(self) -> str:
        """Return host and port as a `Host` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Return what may be written down of it for everybody."""
        return f"{self.scheme}://{self.netloc}"


def parse_callback(written: str, *, private: bool) -> Callback:
    """Take apart what an operator wrote.

    Args:
        private: whether `http`, and hosts inside, are allowed.

    Raises:
        CallbackError: it is none, or leads where none may.
    """
    found = _WRITTEN.fullmatch(written) if len(written) <= LARGEST else None
    if found is None:
        msg = "a callback is written as https://host/path, in ASCII, without a user and a fragment"
        raise CallbackError(msg)
    scheme, host = found["scheme"], found["host"].strip("[]")
    port = int(found["port"] or PORTS[scheme])
    if not 1 <= port <= MOST_PORTS:
        msg = f"there is no port {port}"
        raise CallbackError(msg)
    if scheme != "https" and not private:
        msg = "a callback is https; http only with MIEN_CALLBACK_PRIVATE"
        raise CallbackError(msg)
    target = found["target"]
    one = Callback(scheme, host, port, target if target.startswith("/") else f"/{target}")
    _refuse_literal(one, private=private)
    return one


def _refuse_literal(one: Callback, *, private: bool) -> None:
    try:
        address = ip_address(one.host)
    except ValueError:
        if ":" in one.host:
            msg = f"{one.host} is no address"
            raise CallbackError(msg) from None
        return
    if not may_be_called(address, private=private):
        msg = f"{address} is not an address out in the world; see MIEN_CALLBACK_PRIVATE"
        raise CallbackError(msg)


def may_be_called(address: IPAddress, *, private: bool) -> bool:
    """Say whether a connection may go there.

    Args:
        private: whether it may also be one inside.
    """
    if any(address in network for network in KEYS_OF_CLOUDS):
        return False
    if private and any(address in network for network in INSIDE):
        return True
    if isinstance(address, IPv6Address) and address not in GLOBAL_IPV6:
        return False
    return not any(address in network for network in NOT_OUT_THERE)
