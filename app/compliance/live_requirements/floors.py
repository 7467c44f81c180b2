"""Values of settings that `live` does not accept, because they would make a law hollow. Pure; the table is in TOML."""

import ipaddress
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from app.kit.addresses import parse_networks
from app.settings import PREFIX, Settings

_TABLE: Final = tomllib.loads(Path(__file__).with_name("floors.toml").read_text("utf-8"))
FLOORS: Final[Mapping[str, Mapping[str, Any]]] = _TABLE["floors"]
HARMLESS: Final[Mapping[str, str]] = _TABLE["harmless"]
_WIDEST_NETWORK: Final = {4: 8, 6: 32}
"""Bits of the prefix, by the version of IP: the size of the largest private network, and of a provider's."""


@dataclass(frozen=True, slots=True)
class Hollow:
    """A setting whose value `live` does not accept."""

    variable: str
    value: str
    accepted: str
    why: str


def find_hollow(settings: Settings) -> Iterator[Hollow]:
    """Yield the settings that are beyond their floors."""
    for name, floor in FLOORS.items():
        value = getattr(settings, name)
        if isinstance(value, timedelta):
            value = value.days
        # None is a setting that was left out: its default comes from elsewhere, such as the engine's card.
        if value is not None and (accepted := _violated(value, floor)) is not None:
            yield Hollow(f"{PREFIX}{name.upper()}", f"{value}", accepted, floor["why"])


def _violated(value: Any, floor: Mapping[str, Any]) -> str | None:  # noqa: ANN401 - a setting of any type
    """Return the accepted values if *value* is none of them."""
    if "only" in floor and value not in floor["only"]:
        return " or ".join(str(one).lower() for one in floor["only"])
    if "least" in floor and value < floor["least"]:
        return f"at least {floor['least']}"
    if "most" in floor and value > floor["most"]:
        return f"at most {floor['most']}"
    return _CHECKS[floor["check"]](value) if "check" in floor else None


def _networks(value: str) -> str | None:
    if any(network.prefixlen < _WIDEST_NETWORK[network.version] for network in parse_networks(value)):
        return "the addresses of your proxies, in networks of /8 (IPv6: /32) or smaller"
    return None


def _origins(value: str) -> str | None:
    origins = filter(None, value.replace(" ", "").split(","))
    return None if all(origin.startswith("https://") for origin in origins) else "origins that begin with https://"


def _listener(value: str) -> str | None:
    host = value.rpartition(":")[0].strip("[]")
    try:
        public = bool(host) and ipaddress.ip_address(host).is_global
    except ValueError:  # a name
        public = False
    return "an address of this machine or of a private network" if public else None


_CHECKS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "networks": _networks,
    "origins": _origins,
    "listener": _listener,
}
