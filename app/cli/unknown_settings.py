"""Find environment variables that look like settings and are none, such as a misspelt one."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from app.settings import PREFIX, Settings

_BY_ORCHESTRATORS = re.compile(r"MIEN_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT_\d+_(TCP|UDP|SCTP)(_(PORT|PROTO|ADDR))?)")
"""Kubernetes sets such variables in every container beside a service named `mien` or `mien-…`; also `MIEN_PORT`, with
an address such as `tcp://10.0.0.1:8000`."""


def unknown_settings(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable `MIEN_…` that is no setting, with the setting of the most similar name."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    return [
        _unknown_setting(name, known)
        for name, value in sorted(environment.items())
        if name.upper().startswith(PREFIX)
        and name.upper() not in known
        and _BY_ORCHESTRATORS.fullmatch(name) is None
        and re.match(r"(tcp|udp|sctp)://", value) is None
    ]


def _unknown_setting(name: str, known: set[str]) -> str:
    if name.upper() in {"MIEN_HOST", "MIEN_PORT"}:
        return f"{name} is not a setting. Use `mien serve --{name[len(PREFIX) :].lower()}`."
    by_rest = {one.removeprefix(PREFIX): one for one in known}
    similar = get_close_matches(name.upper().removeprefix(PREFIX), by_rest, n=1)
    nearest = f"Did you mean {by_rest[similar[0]]}?" if similar else "docs/reference/settings.md lists all."
    return f"{name} is not a setting. {nearest}"
