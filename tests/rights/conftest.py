"""The service of the tests of rights: nothing runs beside the requests, so that nothing else reads or writes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card


@pytest.fixture
def service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A running service without background jobs."""
    with serving(root, pool, toy_card(), background=False) as running:
        yield running
