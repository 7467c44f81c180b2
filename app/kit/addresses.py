"""Network addresses: of clients, and in settings. Each check returns the value, or raises ValueError with the form."""

import ipaddress
import re
from collections.abc import Sequence

MAX_PORT = 65535
IPV6_NETWORK = 64
"""Prefix length, in bits, that a provider gives to one customer; the customer chooses the other bits freely."""

Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]


def check_networks(value: str) -> str:
    """Refuse a list of networks with one that is none; `*` stands for all."""
    for network in filter(None, value.replace(" ", "").split(",")):
        if network != "*":
            ipaddress.ip_network(network, strict=False)
    return value


def check_root_path(value: str) -> str:
    """Refuse a path with a slash at its end, or with a character that would have to be escaped."""
    if re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", value) is None:
        msg = f"{value!r} is no path; write it as /mien, without a slash at the end"
        raise ValueError(msg)
    return value


def check_listener(value: str) -> str:
    """Refuse an address without a host or without a port."""
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})", value)
    if value and (found is None or int(found[2]) > MAX_PORT):
        msg = f"{value!r} is no host:port; write it as 127.0.0.1:9464 or [::]:9464"
        raise ValueError(msg)
    return value


def check_origins(value: str) -> str:
    """Refuse a list of origins with one that has a path or no scheme."""
    for origin in filter(None, value.replace(" ", "").split(",")):
        if re.fullmatch(r"https?://[^/?#\s@]+", origin) is None:
            msg = f"{origin!r} is no origin; write them as https://example.org, without a path"
            raise ValueError(msg)
    return value


def check_transit_key(value: str) -> str:
    """Refuse an address that is not that of a transit key, or that leaves this machine without TLS."""
    found = re.fullmatch(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?/v1/([\w-]+/)+keys/[\w-]+", value)
    if found is None:
        msg = f"{value!r} is no transit key; write it as https://bao.example.org:8200/v1/transit/keys/mien"
        raise ValueError(msg)
    address = _parse_address(found[2].strip("[]"))
    if found[1] == "http" and found[2] != "localhost" and (address is None or not address.is_loopback):
        msg = "give https: without TLS others read the key-encryption key on its way"
        raise ValueError(msg)
    return value


def parse_networks(value: str) -> Networks:
    """Return the networks of a checked list; `*` stands for all."""
    names = value.replace(" ", "").replace("*", "0.0.0.0/0,::/0").split(",")
    return [ipaddress.ip_network(name, strict=False) for name in names if name]


def client_network(host: str) -> str:
    """Return the IPv4 address of a client, or the network of its IPv6 address; *host* itself if it is no address."""
    address = _parse_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))
    return host if address is None else str(address)


def is_within(host: str, networks: Networks) -> bool:
    """Return whether *host* is an address in one of the networks."""
    address = _parse_address(host)
    return address is not None and any(address in network for network in networks)


def _parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        # A dual-stack socket shows IPv4 as `::ffff:192.0.2.1`: all clients would be in one IPv6 network.
        return address.ipv4_mapped or address
    return address
