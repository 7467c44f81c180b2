"""A worker that a picture took over sees few people: another one replaces it, and no request waits for that."""

import dataclasses
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.faces.permit import Permit
from app.faces.workers.messages import Measurement
from app.faces.workers.pool import EnginePool
from app.faces.workers.supervisor import Term
from tests.faces.conftest import MakePool, make_pool, permit
from tests.faces.hostile_engine import COUNTING_SPEC
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until

__all__ = ["make_pool", "permit"]
pytestmark = pytest.mark.service
IMAGES = 5


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Return the file without which no worker finishes its start."""
    gate = tmp_path / "gate"
    gate.touch()
    return gate


def counting_pool(make: MakePool, gate: Path, term: Term, **changes: Any) -> EnginePool:
    card = toy_card()
    settings = {**card.settings, "gate": str(gate)}
    return make(engine=COUNTING_SPEC, card=dataclasses.replace(card, settings=settings), term=term, **changes)


def see(pool: EnginePool, permit: Permit) -> tuple[int, int]:
    """Measure one face. Returns the process that saw it, and how many faces that process has seen."""
    (answer,) = pool.measure(permit, [toy_photo(0)])
    assert isinstance(answer, Measurement)
    return int(answer.vector[0]), int(answer.vector[1])


def workers() -> list[int]:
    return [child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def test_no_process_sees_more_faces_than_twice_its_term(make_pool: MakePool, permit: Permit, gate: Path) -> None:
    pool = counting_pool(make_pool, gate, Term(images=IMAGES, seconds=3600))
    seen: dict[int, int] = {}
    while len(seen) < 4:
        process, faces = see(pool, permit)
        seen[process] = faces

    assert max(seen.values()) <= 2 * IMAGES
    assert not [pid for pid in list(seen)[:-1] if pid in workers()]


def test_the_old_worker_serves_until_the_new_one_is_ready(make_pool: MakePool, permit: Permit, gate: Path) -> None:
    pool = counting_pool(make_pool, gate, Term(images=IMAGES, seconds=3600))
    first, _ = see(pool, permit)
    gate.unlink()
    served = [see(pool, permit)[0] for _ in range(2 * IMAGES - 2)]
    loading = set(workers()) - {first}
    gate.touch()
    wait_until(lambda: first not in workers())

    assert set(served) == {first}
    assert loading
    assert see(pool, permit)[0] in loading


def test_a_worker_whose_replacement_does_not_start_ends(make_pool: MakePool, permit: Permit, gate: Path) -> None:
    pool = counting_pool(make_pool, gate, Term(images=IMAGES, seconds=3600))
    first, _ = see(pool, permit)
    gate.unlink()
    for _ in range(2 * IMAGES - 1):
        see(pool, permit)
    wait_until(lambda: first not in workers())
    gate.touch()

    assert see(pool, permit)[0] != first


def test_a_used_worker_ends_by_its_age_and_an_unused_one_does_not(
    make_pool: MakePool, permit: Permit, gate: Path
) -> None:
    pool = counting_pool(make_pool, gate, Term(images=1000, seconds=0.1))
    wait_until(lambda: pool.status().workers == 1)
    before = pool._supervisors[0]._worker
    assert before is not None
    first, _ = see(pool, permit)
    wait_until(lambda: first not in workers())
    wait_until(lambda: pool.status().workers == 1)

    assert before._process.pid == first, "it was not replaced while it waited"
    assert see(pool, permit)[1] == 1


def test_the_workers_of_a_pool_are_replaced_one_after_the_other(make_pool: MakePool, gate: Path) -> None:
    pool = counting_pool(make_pool, gate, Term(images=100, seconds=60), workers=4)

    assert [one._first_term for one in pool._supervisors] == [Term(25, 15), Term(50, 30), Term(75, 45), Term(100, 60)]
