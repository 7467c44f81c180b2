"""One account fills the engine with enrolments, or one relying party with verifications; the others are served."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.faces.workers.pool import EnginePool
from app.settings import MIB
from tests.comparisons.failures import unhindered
from tests.support import toy_engine
from tests.support.service_fixture import RunningService, SharedPool, enrol, serving
from tests.support.toy_faces import slow_photo, toy_photo
from tests.support.waiting import wait_until

QUEUE = 4
CROWD = 12
"""Requests that the attacker keeps in progress."""
SLOW_S = 0.1
"""Seconds that the engine needs for one picture of the attacker."""
ASKED = 3


@pytest.fixture
def busy_service(root: Path) -> Iterator[RunningService]:
    """A service with one worker and a short queue of its own."""
    pool = EnginePool(
        engine=toy_engine.SPEC,
        card=toy_engine.toy_card(),
        workers=1,
        queue=QUEUE,
        timeout_s=3600,
        memory_bytes=1024 * MIB,
    )
    pool.start()
    with serving(root, SharedPool(pool), toy_engine.toy_card()) as service:
        unhindered(service)
        yield service
    pool.close()


@contextmanager
def crowding(send: Callable[[], httpx.Response], *, answer: int = 503) -> Iterator[list[int]]:
    """Send a request from many threads until the end of the block. Yields the statuses, once *answer* is among them."""
    ended, statuses = list[bool](), list[int]()

    def ask() -> None:
        while not ended:
            statuses.append(send().status_code)

    with ThreadPoolExecutor(CROWD) as threads:
        for _ in range(CROWD):
            threads.submit(ask)
        try:
            wait_until(lambda: answer in statuses)
            yield statuses
        finally:
            ended.append(True)


def use_the_service(service: RunningService) -> Callable[[], list[int]]:
    """Prepare two honest callers of each kind; return a function with the statuses of their requests."""
    ada, door, consent = service.enrolled(1)
    ben, gate = service.person(), service.party("Gate")
    bens, at_gate = service.consent(ben, door), service.consent(ada, gate)
    assert enrol(ada, [at_gate["consent_id"]], [toy_photo(1)]).status_code == 201

    def ask() -> list[int]:
        return [
            door.verify(consent["subject_ref"], toy_photo(1)).status_code,
            enrol(ben, [bens["consent_id"]], [toy_photo(2), toy_photo(2, variant=1)]).status_code,
            gate.verify(at_gate["subject_ref"], toy_photo(1)).status_code,
            ada("GET", "/v1/me").status_code,
        ]

    return ask


def test_enrolments_of_one_account_leave_the_engine_to_the_others(busy_service: RunningService) -> None:
    ask = use_the_service(busy_service)
    mallory = busy_service.person("Mallory")
    consent = busy_service.consent(mallory, busy_service.party("Other"))["consent_id"]
    photos = [slow_photo(SLOW_S)] * 5
    with crowding(lambda: enrol(mallory, [consent], photos), answer=201) as attack:
        answers = [ask() for _ in range(ASKED)]

    assert answers == [[200, 201, 200, 200]] * ASKED
    assert set(attack) == {201}, "the attacker's own enrolments wait for each other"


def test_verifications_of_one_relying_party_leave_the_engine_to_the_others(busy_service: RunningService) -> None:
    ask = use_the_service(busy_service)
    _, busy, consent = busy_service.enrolled(3, party=busy_service.party("Busy"))
    with crowding(lambda: busy.verify(consent["subject_ref"], slow_photo(SLOW_S))) as attack:
        answers = [ask() for _ in range(ASKED)]

    assert answers == [[200, 201, 200, 200]] * ASKED
    assert 503 in attack


def test_many_accounts_that_enrol_leave_the_engine_to_a_door(busy_service: RunningService) -> None:
    """Each holds one place of the queue only, and all of them together hold all places."""
    _, door, given = busy_service.enrolled(1)
    other = busy_service.party("Other")
    people = [busy_service.person() for _ in range(CROWD)]
    consents = {person.subject_id: busy_service.consent(person, other)["consent_id"] for person in people}
    turns = iter(people * 1000)

    def enrol_next() -> httpx.Response:
        person = next(turns)
        return enrol(person, [consents[person.subject_id]], [slow_photo(SLOW_S)] * 2)

    with crowding(enrol_next):
        answers = [door.verify(given["subject_ref"], toy_photo(1)).status_code for _ in range(ASKED)]

    assert answers == [200] * ASKED
