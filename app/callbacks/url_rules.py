"""Pure rules for callbacks: their syntax, and the addresses to which the service may connect.

A name proves nothing, so `http_client` checks the addresses that it resolves to, each time. Only global unicast is
allowed. Otherwise a callback could make the service call hosts of its own network, which are closed to others. An
address that embeds another address could do the same.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

MAX_LENGTH = 2000
"""Longest callback, in characters."""
PORTS = {"https": 443, "http": 80}
MAX_PORT = 65_535

IPAddress = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


def _networks(*cidrs: str) -> tuple[_Network, ...]:
    return tuple(ip_network(cidr) for cidr in cidrs)


GLOBAL_IPV6 = IPv6Network("2000::/3")
"""Global unicast; excludes among others 64:ff9b::/96 (NAT64) and ::ffff:0:0/96 (IPv4-mapped)."""
NOT_PUBLIC = _networks(
    "0.0.0.0/8",  # this network, unspecified
    "10.0.0.0/8",  # private
    "100.64.0.0/10",  # behind a carrier's NAT
    "127.0.0.0/8",  # loopback
    "169.254.0.0/16",  # link-local, with the metadata services of clouds
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
    "2001::/23",  # IETF protocols, with Teredo, which embeds an IPv4 address
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4, which embeds an IPv4 address
    "3fff::/20",  # documentation
)
"""Other entries of the IANA registries of special-purpose addresses (RFC 6890)."""
CLOUD_METADATA = _networks("fd00:ec2::254/128", "100.100.100.200/32", "168.63.129.16/32")
"""Metadata services of some clouds at addresses that are not link-local; never called."""
PRIVATE_NETWORKS = _networks(
    "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"
)
"""Additionally allowed by `MIEN_CALLBACK_PRIVATE`. Link-local is not: clouds serve their keys there."""

_FORM = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)",
    re.ASCII,
)
"""Only forms that all programs parse alike: no user, no fragment, no escape in the host."""


class CallbackError(ValueError):
    """The URL is not allowed as a callback; the text states the reason."""


@dataclass(frozen=True, slots=True)
class Callback:
    """A parsed callback."""

    scheme: str
    host: str
    """A name, or an address without brackets."""
    port: int
    target: str
    """Path and query; may contain a secret and is never shown."""

    @property
    def netloc(self) -> str:
        """Return host and port as in a `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Return the part that may be published."""
        return f"{self.scheme}://{self.netloc}"


def parse_callback(url: str, *, private: bool) -> Callback:
    """Parse a callback that the operator entered.

    Args:
        private: whether `http` and private addresses are allowed.

    Raises:
        CallbackError: it is malformed, or its address is not allowed.
    """
    found = _FORM.fullmatch(url) if len(url) <= MAX_LENGTH else None
    if found is None:
        raise CallbackError("a callback is written as https://host/path, in ASCII, without a user and a fragment")
    scheme, host, target = found["scheme"], found["host"].strip("[]"), found["target"]
    port = int(found["port"] or PORTS[scheme])
    if not 1 <= port <= MAX_PORT:
        raise CallbackError(f"there is no port {port}")
    if scheme != "https" and not private:
        raise CallbackError("a callback is https; http only with MIEN_CALLBACK_PRIVATE")
    _check_literal_address(host, private=private)
    return Callback(scheme, host, port, target if target.startswith("/") else f"/{target}")


def _check_literal_address(host: str, *, private: bool) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        if ":" in host:
            raise CallbackError(f"{host} is not an address") from None
        return
    if not may_be_called(address, private=private):
        raise CallbackError(f"{address} is not a public address; see MIEN_CALLBACK_PRIVATE")


def may_be_called(address: IPAddress, *, private: bool) -> bool:
    """Return whether the service may connect to this address.

    Args:
        private: whether private addresses are allowed.
    """
    if any(address in network for network in CLOUD_METADATA):
        return False
    if private and any(address in network for network in PRIVATE_NETWORKS):
        return True
    if isinstance(address, IPv6Address) and address not in GLOBAL_IPV6:
        return False
    return not any(address in network for network in NOT_PUBLIC)
