"""A service that may call this machine, and looks often for what is to be told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card


@pytest.fixture(autouse=True)
def _looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.scheduler.POLL_S", 0.05)


@pytest.fixture
def telling(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A running service whose callbacks may be on this machine."""
    with serving(root, pool, toy_card(), callback_private=True) as running:
        yield running
