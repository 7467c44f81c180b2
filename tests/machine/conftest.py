"""Fixtures of the state machine."""

import os
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from tests.machine.machine import START, first_party
from tests.machine.model import Data, Model
from tests.machine.operators import Operators
from tests.machine.store_harness import ProcessLauncher, ServedStore


@pytest.fixture(scope="module")
def launcher() -> Iterator[ProcessLauncher]:
    """A process that forks services."""
    with ProcessLauncher() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, if possible: the tests kill processes, not disks."""
    memory = Path("/dev/shm")  # noqa: S108 - the directory is made for one test
    place = memory / f"mien-{os.getpid()}" if memory.is_dir() else tmp_path / "place"
    place.mkdir()
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def populated(launcher: ProcessLauncher, prepared: Path, place: Path) -> tuple[Path, Data]:
    """The prepared databases with two relying parties, and the data that the model knows of them."""
    shutil.copytree(prepared, place / "furnished" / "service")
    store = ServedStore(launcher, place / "furnished" / "service")
    store.set_clock(START)
    data = Data()
    for name, purposes in (("Door", ("verification", "identification")), ("Gate", ("verification",))):
        asked = [part for purpose in purposes for part in ("--purpose", purpose)]
        more = ("--contact", "x@example.org", "--alternative", "a card")
        party = first_party(store.run(["relying-party", "add", name, *more, *asked]).answer)
        data.parties[party.id] = party
    assert store.start()
    data.notices = {one["purpose"]: one["sha256"] for one in store.client.get("/v1/notices").json()["items"]}
    store.stop()
    return store.root, data


@pytest.fixture
def walk(launcher: ProcessLauncher, populated: tuple[Path, Data], place: Path) -> Iterator[Operators]:
    """One walk."""
    populated_root, data = populated
    shutil.copytree(populated_root, place / "walk" / "service")
    walk = Operators(ServedStore(launcher, place / "walk" / "service"), Model(START, deepcopy(data)))
    yield walk
    walk.discard()
