"""Fixtures of the tests of the transparency log and receipts."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.service_fixture import FOR_EVER, RunningService, SharedPool, copied, serving
from tests.support.toy_engine import toy_card
from tests.transparency.pending_leaves import EnrolledCase
from tests.transparency.signed_bundles import Signer


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="module")
def shared_service(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory, toy_pool: SharedPool
) -> Iterator[RunningService]:
    toy_pool.reset()
    root = copied(prepared, tmp_path_factory.mktemp("shared") / "service")
    with serving(root, toy_pool, toy_card(), sweep_interval_s=FOR_EVER) as service:
        yield service


@pytest.fixture
def shared_case(shared_service: RunningService) -> EnrolledCase:
    """A new person and relying party of the shared service."""
    party = shared_service.party(f"Door {uuid4()}")
    return EnrolledCase(shared_service, *shared_service.enrolled(face=1, party=party))
