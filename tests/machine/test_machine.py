"""Anything, in any order: a machine does to a service what may happen to it, and holds it against the laws.

A short, fixed walk is part of every run of the tests. `make machine` walks on for as long as one likes.
"""

import os
import shutil
from collections.abc import Iterator
from copy import deepcopy
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.ground import Ground, Nursery
from tests.machine.machine import BEGINNING, Machine, first_party
from tests.machine.model import Data

EXAMPLES = int(os.environ.get("MIEN_MACHINE_EXAMPLES", "0"))
"""How many walks `make machine` takes; 0 for the short ones of every run."""
STEPS = int(os.environ.get("MIEN_MACHINE_STEPS", "40"))

SHORT = settings(
    max_examples=8, stateful_step_count=20, derandomize=True, database=None, phases=[Phase.generate], deadline=None
)
"""Always the same; what it finds is made smaller by `make machine`."""
LONG = settings(max_examples=EXAMPLES or 1, stateful_step_count=STEPS, deadline=None)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process that forks services."""
    with Nursery() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Memory, if there is some: what is tested is killing a process, not the disk."""
    memory = Path("/dev/shm")  # noqa: S108 - what is there is a test's
    place = memory / f"mien-{os.getpid()}" if memory.is_dir() else tmp_path
    place.mkdir(exist_ok=True)
    yield place
    shutil.rmtree(place, ignore_errors=True)


def furnished(nursery: Nursery, prepared: Path, place: Path) -> tuple[Path, Data]:
    """Add two relying parties to the prepared databases."""
    shutil.copytree(prepared, place / "furnished" / "house")
    ground = Ground(nursery, place / "furnished" / "house")
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
    return place / "furnished" / "house", data


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_whatever_happens_in_whatever_order_the_laws_hold(nursery: Nursery, prepared: Path, place: Path) -> None:
    house, data = furnished(nursery, prepared, place)
    numbers = count()
    wanted = settings(LONG if EXAMPLES else SHORT, suppress_health_check=list(HealthCheck), verbosity=Verbosity.normal)

    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(nursery, house, deepcopy(data), place / str(next(numbers)))

    run_state_machine_as_test(Here, settings=wanted)
