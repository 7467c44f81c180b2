"""One account cannot fill the disk with receipts: acts that give have a limit of a day, and acts that end have none."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.service_fixture import Party, Person, RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

pytestmark = pytest.mark.service

RECEIPTS = 8
A_DAY_S = 24 * 3600
Send = Callable[[], httpx.Response]


@pytest.fixture
def service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A service with few receipts a day."""
    with serving(root, pool, toy_card(), receipts_per_day=RECEIPTS) as running:
        yield running


def use_up(person: Person) -> None:
    """Let *person* have all receipts of the day, and no restriction."""
    for _ in range(RECEIPTS):
        person("PUT", "/v1/me/restriction").raise_for_status()
        if person("DELETE", "/v1/me/restriction").status_code == httpx.codes.TOO_MANY_REQUESTS:
            return
    pytest.fail("no limit")


def receipts(person: Person) -> list[dict[str, Any]]:
    """Return all receipts of *person*."""
    found: list[dict[str, Any]] = person("GET", "/v1/me/receipts", params={"limit": 200}).json()["items"]
    return found


def decision(service: RunningService, party: Party, answer: str) -> dict[str, Any]:
    """Return the body of a decision about verification."""
    notice = next(one for one in service.client.get("/v1/notices").json()["items"] if one["purpose"] == "verification")
    given = {"relying_party_id": party.id, "notice_sha256": notice["sha256"], "decision": answer}
    return {"purpose": "verification", **given}


def test_acts_that_give_wait_for_the_next_day_and_acts_that_end_do_not(service: RunningService) -> None:
    person, door, consent = service.enrolled(1)
    compared = door.verify(consent["subject_ref"], toy_photo(1)).json()["comparison_id"]
    own, dispute = f"/v1/me/consents/{consent['consent_id']}", f"/v1/me/comparisons/{compared}/dispute"
    gate = service.party("Gate")
    use_up(person)
    giving: dict[str, Send] = {
        "lift": lambda: person("DELETE", "/v1/me/restriction"),
        "give": lambda: person("POST", "/v1/me/consents", json=decision(service, gate, "given")),
        "refuse without a consent": lambda: person("POST", "/v1/me/consents", json=decision(service, gate, "refused")),
        "renew": lambda: person("POST", f"{own}/renewal", json={"notice_sha256": consent["notice_sha256"]}),
        "lift a dispute": lambda: person("DELETE", dispute),
    }
    ending: dict[str, Send] = {
        "access": lambda: person("GET", "/v1/me/access", params={"receipt": "true"}),
        "rectify": lambda: person("PATCH", "/v1/me", json={"display_name": "Ada"}),
        "restrict": lambda: person("PUT", "/v1/me/restriction"),
        "dispute": lambda: person("PUT", dispute),
        "refuse a consent in force": lambda: person("POST", "/v1/me/consents", json=decision(service, door, "refused")),
        "withdraw": lambda: person("DELETE", own),
    }
    disputed = ending.pop("dispute")().status_code
    refused = {name: send() for name, send in giving.items()}
    ended = {name: send().status_code for name, send in ending.items()}
    waits = {int(answer.headers["Retry-After"]) for answer in refused.values()}
    service.clock.advance(seconds=max(waits))
    lifted = giving["lift"]().status_code
    given = giving["give"]().status_code
    erased = person("DELETE", "/v1/me").status_code

    assert disputed == 200
    assert {name: (one.status_code, one.json()["type"]) for name, one in refused.items()} == dict.fromkeys(
        giving, (429, "urn:mien:problem:too-many-attempts")
    )
    assert all(0 < wait <= A_DAY_S for wait in waits)
    assert ended == dict.fromkeys(ending, 200) | {"refuse a consent in force": 201}
    assert (lifted, given, erased) == (200, 201, 200)


def test_corrections_are_never_refused_and_their_receipts_have_a_limit(service: RunningService) -> None:
    person = service.person()
    answers = [person("PATCH", "/v1/me", json={"display_name": f"Ada {n}"}) for n in range(3 * RECEIPTS)]
    leaves = {answer.json()["receipt"]["leaf"] for answer in answers}

    assert {answer.status_code for answer in answers} == {200}
    assert person("GET", "/v1/me").json()["display_name"] == f"Ada {3 * RECEIPTS - 1}"
    assert len(leaves) == len(receipts(person)) == RECEIPTS


def test_no_order_of_acts_gives_endless_receipts(service: RunningService) -> None:
    person, door, consent = service.enrolled(1)
    for n in range(3 * RECEIPTS):
        person("PUT", "/v1/me/restriction")
        person("DELETE", "/v1/me/restriction")
        person("PATCH", "/v1/me", json={"display_name": f"Ada {n}"})
        answer = person("POST", "/v1/me/consents", json=decision(service, door, "given" if n % 2 else "refused"))
        if answer.is_success:
            consent = answer.json()
        person("DELETE", f"/v1/me/consents/{consent['consent_id']}")

    assert len(receipts(person)) <= RECEIPTS + 3, "a restriction, a withdrawal and a correction came after the limit"
