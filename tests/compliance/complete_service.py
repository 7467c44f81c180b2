"""A service that meets every requirement of `live`."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from app.compliance import shipped_notices
from app.consent.facts import Facts
from app.consent.notice_template import NoticeError
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

WITHIN_FLOORS: dict[str, Any] = {"log_interval": 86_400.0, "log_noise": 8, "ending_ballast_mib": 8}
"""In place of the values that keep a test quick and its log quiet."""


def kek_apart(root: Path) -> Path:
    """Move the key-encryption key of the service in *root* to another directory. Returns its path."""
    there = root / "apart" / "kek"
    if not there.exists():
        there.parent.mkdir(mode=0o700)
        (root / "keys" / "kek").rename(there)
    return there


def publish_in_name(service: RunningService, facts: Facts | None = None) -> None:
    """Put the shipped notices in force with the controller of the service, or of *facts*."""
    with service.vault.data.write() as session:
        shipped_notices.publish_shipped(session, facts or service.facts, now=service.clock())


@contextmanager
def live(root: Path, pool: SharedPool, **more: Any) -> Iterator[RunningService]:
    """Serve in `live` with every requirement met, except for the settings in *more*.

    If one of them is missing, no notice is published: it would have to state it.
    """
    clock, settings = MovableClock(), {"profile": "live", "kek_file": kek_apart(root), **WITHIN_FLOORS, **WHO, **more}
    with serving(root, pool, toy_card(), clock=clock, **settings) as service:
        with suppress(NoticeError):
            publish_in_name(service)
        yield service
