"""Services that may call callbacks on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.callbacks.delivery_worker import DeliveryWorker
from app.jobs.deliver_callbacks import delivery_worker
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card


@pytest.fixture(autouse=True)
def _check_outbox_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.scheduler.POLL_S", 0.05)


@pytest.fixture
def callback_service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A running service that delivers messages beside the requests."""
    with serving(root, pool, toy_card(), callback_private=True) as running:
        yield running


@pytest.fixture
def paused_service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A running service that delivers nothing by itself: the test runs the delivery worker."""
    with serving(root, pool, toy_card(), callback_private=True, background=False) as running:
        yield running


@pytest.fixture
def worker(paused_service: RunningService) -> Iterator[DeliveryWorker]:
    """The delivery worker of the paused service."""
    settings, vault, clock = paused_service.settings, paused_service.vault, paused_service.clock
    made = delivery_worker(settings, vault, clock=clock)
    yield made
    made.stop()
