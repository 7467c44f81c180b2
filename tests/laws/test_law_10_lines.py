"""Law 10: the person sees every use. Each decision is in their list, and the list has nothing else."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.byte_scan import rows
from tests.support.service_fixture import Person, RunningService
from tests.support.sqlite_stores import in_file
from tests.support.toy_faces import toy_photo

PEOPLE = {"the same": toy_photo(1, variant=3), "another": toy_photo(2)}


def lines(person: Person) -> list[dict[str, object]]:
    """Read the whole list page by page."""
    found: list[dict[str, object]] = []
    after: dict[str, str] = {}
    while True:
        page = person("GET", "/v1/me/comparisons", params={"limit": "7", **after}).json()
        found += page["items"]
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


def test_concurrent_comparisons_are_all_listed_and_numbered_without_a_gap(service: RunningService) -> None:
    person, party, given = service.enrolled(face=1)
    other, _, others = service.enrolled(face=2, party=party)
    photo = toy_photo(1, variant=3)

    def asks(_: int) -> list[httpx.Response]:
        return [party.verify(given["subject_ref"], photo) for _ in range(5)]

    with ThreadPoolExecutor(8) as executor:
        answers = [one for some in executor.map(asks, range(8)) for one in some]
    party.verify(others["subject_ref"], toy_photo(2))
    decided = [answer.json()["comparison_id"] for answer in answers if answer.status_code == 200]
    query = "SELECT position FROM comparisons GROUP BY subject_id, position HAVING subject_id = ? ORDER BY position"
    positions = [row[0] for row in rows(in_file(service.vault.data).path, query, person.subject_id.replace("-", ""))]
    seen = lines(person)

    assert {answer.status_code for answer in answers} <= {200, 503}
    assert sorted(str(line["comparison_id"]) for line in seen) == sorted(decided)
    assert len(decided) == 40
    assert positions == list(range(1, len(decided) + 1))
    assert [str(line["comparison_id"]) for line in seen] == [
        str(line["comparison_id"]) for line in sorted(seen, key=lambda line: str(line["at"]), reverse=True)
    ]
    assert len(lines(other)) == 1


@pytest.mark.parametrize("who", PEOPLE)
def test_a_listed_comparison_shows_the_answer_to_the_relying_party(service: RunningService, who: str) -> None:
    person, party, given = service.enrolled(face=1)
    answer = party.verify(given["subject_ref"], PEOPLE[who]).json()
    (line,) = lines(person)

    assert {name: line[name] for name in answer} == answer
    assert (line["relying_party_id"], line["relying_party"]) == (party.id, "Door")


@pytest.mark.parametrize("probe", [toy_photo(), toy_photo(3, 4), b"no image"], ids=["nobody", "two", "no image"])
def test_a_probe_without_a_decision_is_not_listed(service: RunningService, probe: bytes) -> None:
    person, party, given = service.enrolled(face=1)
    refused = party.verify(given["subject_ref"], probe)
    before = lines(person)
    party.verify(given["subject_ref"], toy_photo(1))

    assert refused.status_code in {415, 422}
    assert before == []
    assert len(lines(person)) == 1


def test_comparisons_stay_listed_after_the_consent_with_the_partys_name(service: RunningService) -> None:
    person, party, given = service.enrolled(face=1)
    party.verify(given["subject_ref"], toy_photo(1))
    person("DELETE", f"/v1/me/consents/{given['consent_id']}")

    assert [line["relying_party"] for line in lines(person)] == ["Door"]


def test_a_person_cannot_read_the_comparisons_of_another(service: RunningService) -> None:
    _, party, given = service.enrolled(face=1)
    party.verify(given["subject_ref"], toy_photo(1))

    assert lines(service.person("Ben")) == []
    assert party("GET", "/v1/me/comparisons").status_code == 403
