"""Every list comes in pages. The cursor `after` stays valid when its row is deleted; an invalid cursor is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.callbacks.registration import set_callback
from app.kit.clock import utc_now
from app.parties import service as parties
from tests.consent.drafts import draft, publish
from tests.rest.conftest import slug
from tests.support.service_fixture import Person, RunningService, enrol
from tests.support.toy_faces import toy_photo

MANY = 3


@dataclass
class ListCase:
    """A list with some items.

    Args:
        ask: sends a request as the caller.
        path: its address.
        name: the field that names an item.
        remove: removes one item.
        wrong: invalid cursors.
    """

    ask: Callable[..., Any]
    path: str
    name: str
    remove: Callable[[str], object]
    wrong: list[str]

    def page(self, after: str | None = None, limit: int = 1) -> dict[str, Any]:
        """Return a page."""
        given = {} if after is None else {"after": after}
        answer = self.ask("GET", self.path, params={"limit": limit, **given})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def names(self, page: dict[str, Any]) -> list[str]:
        """Return the names of the items of a page."""
        return [str(item[self.name]) for item in page["items"]]


def tokens(service: RunningService, person: Person) -> ListCase:
    """Return a person's tokens."""
    for _ in range(MANY - 1):
        person("POST", "/v1/me/tokens")

    def revoke(token_id: str) -> None:
        mine = next(one for one in person("GET", "/v1/me/tokens").json()["items"] if one["current"])["token_id"]
        if token_id != mine:
            assert person("DELETE", f"/v1/me/tokens/{token_id}").status_code == 204

    return ListCase(person, "/v1/me/tokens", "token_id", revoke, [str(uuid4()), "2026-01-01", f"2026-13-01.{uuid4()}"])


def enrolments(service: RunningService, person: Person) -> ListCase:
    """Return a person's enrolments."""
    for name in "abc":
        consent = service.consent(person, service.party(name))
        assert enrol(person, [consent["consent_id"]], [toy_photo(1)]).status_code == 201

    def remove(one: str) -> None:
        assert person("DELETE", f"/v1/me/enrolments/{one}").status_code == 200

    wrong = [str(uuid4()), f"1.{uuid4()}", f"2026-01-01.{uuid4().hex}", f"2026-01-01.{uuid4()}.", "."]
    return ListCase(person, "/v1/me/enrolments", "enrolment_id", remove, wrong)


def consents(service: RunningService, person: Person) -> ListCase:
    """Return a person's decisions; none can be removed."""
    for name in "abc":
        service.consent(person, service.party(name))
    return ListCase(person, "/v1/me/consents", "consent_id", lambda _: None, ["0", "-1", "1.5", str(uuid4())])


def comparisons(service: RunningService, person: Person) -> ListCase:
    """Return the comparisons with a person's template; none can be removed."""
    party = service.party()
    consent = service.consent(person, party)
    enrol(person, [consent["consent_id"]], [toy_photo(1)])
    for _ in range(MANY):
        party.verify(consent["subject_ref"], toy_photo(1))
    return ListCase(person, "/v1/me/comparisons", "comparison_id", lambda _: None, ["0", "-1", "1.5", str(uuid4())])


def references(service: RunningService, _other: Person) -> ListCase:
    """Return the references of the people who consent to a party."""
    door = service.party()
    people = {}
    for _ in range(MANY):
        person = service.person()
        people[service.consent(person, door)["subject_ref"]] = person

    def withdraw(ref: str) -> None:
        assert people[ref]("DELETE", "/v1/me").status_code == 200

    wrong = [str(uuid4()), "a" * 23, "a" * 23 + "="]
    return ListCase(door, "/v1/relying-party/subjects", "subject_ref", withdraw, wrong)


def notices(service: RunningService, _: Person) -> ListCase:
    """Return the notices in force; the next version removes one."""

    def supersede(sha256: str) -> None:
        purpose = {item["sha256"]: item["purpose"] for item in service.client.get("/v1/notices").json()["items"]}[
            sha256
        ]
        publish(service.vault, draft(purpose, version=1000), now=service.clock())

    wrong = [service.notice("verification"), "verification", "verification.", "nothing.en", "verification." + "a" * 17]
    return ListCase(service.client.request, "/v1/notices", "sha256", supersede, wrong)


def relying_parties(service: RunningService, _: Person) -> ListCase:
    """Return the relying parties."""
    for name in "abc":
        service.party(name)

    def revoke(one: str) -> None:
        parties.revoke(service.vault, party_id=UUID(one), now=utc_now())

    return ListCase(service.client.request, "/v1/relying-parties", "relying_party_id", revoke, ["a", "Door", "0"])


def retention(service: RunningService, _: Person) -> ListCase:
    """Return the retention rules; none can be removed."""
    return ListCase(
        service.client.request, "/v1/retention-policy", "what", lambda _: None, ["0", "-1", "1.5", str(uuid4())]
    )


def receipts(service: RunningService, person: Person) -> ListCase:
    """Return a person's receipts; none can be removed."""
    for number in range(MANY):
        person("PATCH", "/v1/me", json={"display_name": f"Name {number}"})
    return ListCase(person, "/v1/me/receipts", "receipt_id", lambda _: None, ["0", "-1", "1.5", str(uuid4())])


def deliveries(service: RunningService, person: Person) -> ListCase:
    """Return the messages to relying parties about a person; none can be removed."""
    for name in map(str, range(MANY)):
        party = service.party(name)
        set_callback(service.vault, party_id=UUID(party.id), to="https://127.0.0.1/", private=True, now=service.clock())
        service.consent(person, party)
    return ListCase(person, "/v1/me/deliveries", "delivery_id", lambda _: None, ["0", "-1", "1.5", str(uuid4())])


LISTS = [
    tokens,
    enrolments,
    consents,
    deliveries,
    comparisons,
    receipts,
    references,
    notices,
    relying_parties,
    retention,
]
List = Callable[[RunningService, Person], ListCase]


@pytest.mark.parametrize("make", LISTS)
def test_the_pages_of_a_list_are_complete(service: RunningService, make: List) -> None:
    listed = make(service, service.person())
    whole = listed.names(listed.page(limit=200))
    found, after = [], None

    while page := listed.page(after):
        found += listed.names(page)
        if (after := page["next"]) is None:
            break

    assert len(whole) >= MANY
    assert found == whole


@pytest.mark.parametrize("make", LISTS)
def test_a_cursor_stays_valid_when_its_row_is_deleted(service: RunningService, make: List) -> None:
    listed = make(service, service.person())
    whole = listed.names(listed.page(limit=200))
    second = listed.page(listed.page()["next"])
    place = second["next"]

    listed.remove(whole[1])
    after = listed.names(listed.page(place, limit=200))

    assert listed.names(second) == whole[1:2]
    assert after == whole[2:]


@pytest.mark.parametrize("make", LISTS)
def test_an_invalid_cursor_is_refused(service: RunningService, make: List) -> None:
    listed = make(service, service.person())

    for wrong in [*listed.wrong, "", " ", "\0", "x" * 500, listed.page()["next"] + "x" * 20]:
        answer = listed.ask("GET", listed.path, params={"after": wrong})

        assert (wrong, *slug(answer)) == (wrong, 422, "invalid-request")
        assert [(one["pointer"], one["parameter"]) for one in answer.json()["errors"]] == [("/after", "after")]


def test_every_list_is_tested(service: RunningService) -> None:
    document = service.client.get("/openapi.json").json()
    described = {
        path: one
        for path, methods in document["paths"].items()
        for one in methods.get("get", {}).get("parameters", [])
        if one["name"] == "after"
    }
    cursors = list(described.values())
    person = service.person()

    assert len(described) == len(LISTS)
    assert [one["schema"] for one in cursors] == [{"type": "string", "title": "After"}] * len(LISTS)
    assert [one["description"] for one in cursors] == [cursors[0]["description"]] * len(LISTS)
    assert {
        notices(service, person).path,
        tokens(service, person).path,
        enrolments(service, person).path,
    } <= described.keys()
