"""A service that meets every requirement of `live`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.faces.permit import Purpose
from app.vault.vault import Vault
from tests.consent.drafts import publish, shipped
from tests.support.service_fixture import MovableClock, RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card

NAME = "Example Canteen Ltd"
WHO: dict[str, Any] = {
    "controller_name": NAME,
    "controller_address": "1 Example Street, Example",
    "controller_contact": "faces@canteen.example",
    "data_protection_officer": "officer@canteen.example",
    "authority": "the authority of Example",
}
DESCRIPTION = {"context": "the door of the canteen, at noon", "legal_basis": "explicit consent"}


def kek_apart(root: Path) -> Path:
    """Move the key-encryption key of the service in *root* to another directory. Returns its path."""
    there = root / "apart" / "kek"
    if not there.exists():
        there.parent.mkdir(mode=0o700)
        (root / "keys" / "kek").rename(there)
    return there


def in_name(body: bytes, *, version: int) -> bytes:
    """Return a shipped notice that names the controller."""
    text = re.sub(r'(?m)^party_name = "Demonstration.*$', f'party_name = "{NAME}"', body.decode(), count=1)
    return re.sub(r"(?m)^version = \d+$", f"version = {version}", text, count=1).encode()


def publish_in_name(vault: Vault, clock: MovableClock, *purposes: Purpose, version: int = 50) -> None:
    """Put notices in force that name the controller."""
    for purpose in purposes or tuple(Purpose):
        publish(vault, in_name(shipped(purpose), version=version), now=clock())


@contextmanager
def live(root: Path, pool: SharedPool, **more: Any) -> Iterator[RunningService]:
    """Serve in `live` with every requirement met, except for the settings in *more*."""
    clock, settings = MovableClock(), {"profile": "live", "kek_file": kek_apart(root), **WHO, **more}
    with serving(root, pool, toy_card(), clock=clock, **settings) as service:
        publish_in_name(service.vault, clock)
        yield service
