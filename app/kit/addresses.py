"""Checks of network addresses in settings. Each returns the value, or raises ValueError with the form to use."""

import ipaddress
import re

MAX_PORT = 65535


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
