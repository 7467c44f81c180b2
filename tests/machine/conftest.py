"""What the machine stands on."""

import os
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from tests.machine.machine import BEGINNING, first_party
from tests.machine.model import Data, Model
from tests.machine.operators import Operators
from tests.machine.store_harness import Ground, Nursery


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process that forks services."""
    with Nursery() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Memory, if there is some: what is tested is killing a process, not the disk."""
    memory = Path("/dev/shm")  # noqa: S108 - what is there is a test's
    place = memory / f"mien-{os.getpid()}" if memory.is_dir() else tmp_path / "place"
    place.mkdir()
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def furnished(nursery: Nursery, prepared: Path, place: Path) -> tuple[Path, Data]:
    """The prepared databases with two relying parties, and what is known of them."""
    shutil.copytree(prepared, place / "furnished" / "service")
    ground = Ground(nursery, place / "furnished" / "service")
    ground.tell(BEGINNING)
    data = Data()
    for name, purposes in (("Door", ("verification", "identification")), ("Gate", ("verification",))):
        asked = [part for purpose in purposes for part in ("--purpose", purpose)]
        more = ("--contact", "x@example.org", "--alternative", "a card")
        party = first_party(ground.run(["relying-party", "add", name, *more, *asked]).answer)
        data.parties[party.id] = party
    assert ground.start()
    data.notices = {one["purpose"]: one["sha256"] for one in ground.client.get("/v1/notices").json()["items"]}
    ground.stop()
    return ground.root, data


@pytest.fixture
def walk(nursery: Nursery, furnished: tuple[Path, Data], place: Path) -> Iterator[Operators]:
    """One walk, for a test to take."""
    house, data = furnished
    shutil.copytree(house, place / "walk" / "service")
    walk = Operators(Ground(nursery, place / "walk" / "service"), Model(BEGINNING, deepcopy(data)))
    yield walk
    walk.discard()
