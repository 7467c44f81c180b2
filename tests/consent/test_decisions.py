"""Giving, refusing, repeating and withdrawing a consent, and the events of each."""

from datetime import UTC, datetime, timedelta
from typing import Any, Never
from uuid import UUID, uuid4

import httpx
import pytest

from app.faces.permit import Purpose
from app.jobs.maintenance import run_maintenance
from app.parties import service as parties
from app.transparency.log import signing_keys
from app.vault.register import Owner
from app.vault.seal import KekError
from tests.consent.drafts import draft, publish
from tests.consent.spies import count, everything
from tests.support.service_fixture import Party, Person, RunningService, enrol
from tests.support.toy_faces import toy_photo

PATH = "/v1/me/consents"


def decision_on(
    service: RunningService, party: Party | None, purpose: str = "verification", **more: object
) -> dict[str, object]:
    """Return the body of a decision about one purpose and party."""
    body = {"purpose": purpose, "notice_sha256": service.notice(purpose), **more}
    return body if party is None else {"relying_party_id": party.id, **body}


def read_consents(person: Person, **query: object) -> dict[str, Any]:
    """Return the person's consent events and consents in force."""
    answer: dict[str, Any] = person("GET", PATH, params=query).json()
    return answer


def list_states(person: Person) -> list[str]:
    """Return the states of the person's events, newest first."""
    return [event["state"] for event in read_consents(person)["items"]]


def list_in_force(person: Person) -> list[str]:
    """Return the ids of the person's consents in force."""
    return [grant["consent_id"] for grant in read_consents(person)["in_force"]]


def slug(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the slug of a problem."""
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def test_a_consent_given_is_in_force(service: RunningService) -> None:
    person, party = service.person(), service.party()

    answer = person("POST", PATH, json=decision_on(service, party))

    given, now = answer.json(), service.clock()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert set(given) == {
        "consent_id",
        "decision",
        "purpose",
        "relying_party_id",
        "subject_ref",
        "notice_sha256",
        "valid_until",
        "receipt",
    }
    assert (given["decision"], given["relying_party_id"]) == ("given", party.id)
    assert datetime.fromisoformat(given["valid_until"]).date() == now.date() + timedelta(days=365)
    assert list_in_force(person) == [given["consent_id"]]
    assert list_states(person) == ["given"]


def test_giving_the_same_consent_again_changes_nothing(service: RunningService) -> None:
    person, party = service.person(), service.party()
    first = person("POST", PATH, json=decision_on(service, party))
    before = everything(service.vault)

    again = person("POST", PATH, json=decision_on(service, party))

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert everything(service.vault) == before


def test_the_latest_decision_counts(service: RunningService) -> None:
    person, party, consent = service.enrolled()
    enrolled = count(service.vault, "templates")

    refused = person("POST", PATH, json=decision_on(service, party, decision="refused"))
    after_refusal = list_in_force(person)
    given = person("POST", PATH, json=decision_on(service, party))

    assert enrolled == 1
    assert (refused.status_code, refused.json()["decision"], refused.json()["subject_ref"]) == (201, "refused", None)
    assert refused.json()["consent_id"] != consent["consent_id"]
    assert after_refusal == []
    assert count(service.vault, "templates") == 0, "the template was deleted with the consent"
    new_id = given.json()["consent_id"]
    assert service.living_keys(consent["consent_id"], new_id) == {new_id: {1}}
    assert given.status_code == 201
    assert list_in_force(person) == [given.json()["consent_id"]] != [consent["consent_id"]]
    assert list_states(person) == ["given", "refused", "withdrawn", "given"]


def test_a_refusal_without_a_consent_is_recorded(service: RunningService) -> None:
    person, party = service.person(), service.party()

    service.consent(person, party, decision="refused")

    assert list_states(person) == ["refused"]
    assert read_consents(person)["in_force"] == []
    assert party("GET", "/v1/relying-party/subjects").json()["items"] == []


def test_withdrawing_ends_one_consent_and_no_other(service: RunningService) -> None:
    person, door, gate = service.person(), service.party("Door"), service.party("Gate")
    at_door, at_gate = service.consent(person, door), service.consent(person, gate)

    ended = person("DELETE", f"{PATH}/{at_door['consent_id']}")

    assert (ended.status_code, ended.json()["state"], ended.json()["erased_from_disk"]) == (200, "withdrawn", True)
    assert list_in_force(person) == [at_gate["consent_id"]]
    assert set(service.living_keys(at_door["consent_id"], at_gate["consent_id"])) == {at_gate["consent_id"]}
    assert person("DELETE", f"{PATH}/{at_door['consent_id']}").json() == ended.json(), "repeating is harmless"
    assert list_states(person) == ["withdrawn", "given", "given"], "and adds no event"


@pytest.mark.parametrize(
    "change",
    [
        {"notice_sha256": "0" * 64},
        {"notice_sha256": "for identification"},
        {"notice_sha256": "superseded"},
        {"notice_sha256": "superseded", "decision": "refused"},
    ],
)
def test_a_decision_on_another_notice_is_refused(service: RunningService, change: dict[str, str]) -> None:
    person, party = service.person(), service.party("Door", Purpose.VERIFICATION, Purpose.IDENTIFICATION)
    known = {"superseded": service.notice("verification"), "for identification": service.notice("identification")}
    publish(service.vault, draft(), now=service.clock())
    notice = known.get(change["notice_sha256"], change["notice_sha256"])

    answer = person("POST", PATH, json=decision_on(service, party) | change | {"notice_sha256": notice})

    assert slug(answer) == (409, "notice-changed")
    assert read_consents(person) == {"items": [], "next": None, "in_force": []}
    assert person("POST", PATH, json=decision_on(service, party)).status_code == 201


def test_a_new_notice_leaves_consents_in_force_until_the_person_agrees(service: RunningService) -> None:
    person, party, old = service.enrolled()
    publish(service.vault, draft(), now=service.clock())

    decision = party.verify(old["subject_ref"], toy_photo(1)).json()["decision"]
    stale = person("POST", PATH, json=decision_on(service, party) | {"notice_sha256": old["notice_sha256"]})
    before = list_in_force(person)
    new = service.consent(person, party)

    assert decision == "match"
    assert slug(stale) == (409, "notice-changed")
    assert before == [old["consent_id"]]
    assert new["consent_id"] != old["consent_id"]
    assert list_in_force(person) == [new["consent_id"]]
    assert list_states(person) == ["given", "withdrawn", "given"]
    assert count(service.vault, "templates") == 0, "the new consent does not cover the old template"


def test_an_end_can_be_chosen_within_limits(service: RunningService) -> None:
    person, now = service.person(), service.clock()
    chosen = {
        "a minute ago": now - timedelta(minutes=1),
        "the year 1": datetime(1, 1, 1, tzinfo=UTC),
        "the year 9999": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        "over three years": now + timedelta(days=1097),
    }

    for name, end in chosen.items():
        answer = person("POST", PATH, json=decision_on(service, None, "template_renewal", valid_until=end.isoformat()))

        assert slug(answer) == (422, "invalid-request"), name
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/valid_until"], name

    for name, text in {"naive": "2090-01-01T00:00:00", "no time": "soon", "edge": "9999-12-31T23:59:59-23:59"}.items():
        answer = person("POST", PATH, json=decision_on(service, None, "template_renewal", valid_until=text))

        assert slug(answer) == (422, "invalid-request"), name

    end = (now + timedelta(days=1095)).replace(microsecond=0)
    in_other_zone = end.astimezone(datetime.strptime("+0930", "%z").tzinfo)
    given = service.consent(person, None, "template_renewal", valid_until=in_other_zone.isoformat())
    assert datetime.fromisoformat(given["valid_until"]) == end
    assert datetime.fromisoformat(read_consents(person)["in_force"][0]["valid_until"]) == end


def test_events_are_listed_newest_first_by_pages(service: RunningService) -> None:
    person, party = service.person(), service.party()
    for decision in ("given", "refused", "given", "refused", "given"):
        service.consent(person, party, decision=decision)
    everything_at_once = read_consents(person, limit=200)

    pages: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while not pages or pages[-1]["next"] is not None:
        pages.append(read_consents(person, limit=3, **after))
        after = {"after": pages[-1]["next"]}

    assert [len(page["items"]) for page in pages] == [3, 3, 1]
    assert [event for page in pages for event in page["items"]] == everything_at_once["items"]
    assert [e["state"] for e in everything_at_once["items"]] == ["given", "refused", "withdrawn"] * 2 + ["given"]
    times = [event["event_time"] for event in everything_at_once["items"]]
    assert times == sorted(times, reverse=True)
    assert all(page["in_force"] == everything_at_once["in_force"] for page in pages)
    for query in ({"limit": 0}, {"limit": 201}, {"after": "x"}, {"after": -1}, {"after": 10**30}):
        assert person("GET", PATH, params=query).status_code == 422, query


def test_a_consent_expires_and_the_maintenance_run_records_it(service: RunningService) -> None:
    person, party = service.person(), service.party()
    ends = service.clock() + timedelta(hours=1)
    consent = service.consent(person, party, valid_until=ends.isoformat())
    other = service.consent(person, None, "template_renewal")
    enrol(person, [consent["consent_id"]], [toy_photo(1)])
    service.clock.advance(hours=2)

    before_run = list_in_force(person)
    done = run_maintenance(service.vault, settings=service.settings, now=service.clock())
    again = run_maintenance(service.vault, settings=service.settings, now=service.clock())

    assert before_run == [other["consent_id"]], "a consent ends without a maintenance run"
    assert (done.expired, again.expired) == (1, 0)
    latest = read_consents(person)["items"][0]
    assert (latest["state"], latest["consent_id"]) == ("expired", consent["consent_id"])
    assert datetime.fromisoformat(latest["event_time"]) == ends, "it ended at its expiry, not at the maintenance run"
    assert count(service.vault, "templates") == 0
    assert set(service.living_keys(consent["consent_id"], other["consent_id"])) == {other["consent_id"]}
    assert service.vault.register.key(Owner.subject(UUID(person.subject_id)))


def test_an_expired_consent_can_be_given_again_before_the_maintenance_run(service: RunningService) -> None:
    person, party = service.person(), service.party()
    old = service.consent(person, party, valid_until=(service.clock() + timedelta(hours=1)).isoformat())
    service.clock.advance(hours=2)

    new = person("POST", PATH, json=decision_on(service, party))

    assert new.status_code == 201
    assert new.json()["consent_id"] != old["consent_id"]
    assert new.json()["subject_ref"] != old["subject_ref"]
    assert list_states(person) == ["given", "expired", "given"]


def test_withdrawing_an_expired_consent_answers_expired(service: RunningService) -> None:
    person, party = service.person(), service.party()
    consent = service.consent(person, party, valid_until=(service.clock() + timedelta(hours=1)).isoformat())
    service.clock.advance(hours=2)

    ended = person("DELETE", f"{PATH}/{consent['consent_id']}")

    assert (ended.status_code, ended.json()["state"]) == (200, "expired")
    assert list_states(person) == ["expired", "given"]


def test_a_consent_is_for_a_purpose_of_its_recipient(service: RunningService) -> None:
    person = service.person()
    parties = {
        "verification": service.party("Door", Purpose.VERIFICATION),
        "identification": service.party("Square", Purpose.IDENTIFICATION),
        "both": service.party("Both", Purpose.VERIFICATION, Purpose.IDENTIFICATION),
        "no party": None,
        "unknown": Party(service.client, str(uuid4()), ""),
    }
    allowed = {
        ("verification", "verification"),
        ("verification", "both"),
        ("identification", "identification"),
        ("identification", "both"),
        ("template_renewal", "no party"),
    }

    for purpose in Purpose:
        for name, party in parties.items():
            for decision in ("refused", "given"):
                answer = person("POST", PATH, json=decision_on(service, party, purpose, decision=decision))

                if (purpose, name) in allowed:
                    assert answer.status_code == 201, (purpose, name)
                else:
                    assert slug(answer) == (422, "invalid-request"), (purpose, name)
                    assert [error["pointer"] for error in answer.json()["errors"]] == ["/relying_party_id"]

    granted = [(grant["purpose"], grant["relying_party_id"]) for grant in read_consents(person)["in_force"]]
    ids = {name: party and party.id for name, party in parties.items()}
    assert sorted(map(str, granted)) == sorted(str((purpose, ids[name])) for purpose, name in allowed)


def test_a_decision_with_a_faulty_or_unknown_field_is_refused(service: RunningService) -> None:
    person, party = service.person(), service.party()
    wrong: dict[str, dict[str, object]] = {
        "/purpose": {"purpose": "advertising"},
        "/relying_party_id": {"relying_party_id": "the door"},
        "/notice_sha256": {"notice_sha256": "F" * 64},
        "/decision": {"decision": "maybe"},
        "/valid_until": {"valid_until": "for ever"},
        "/subject_id": {"subject_id": str(uuid4())},
    }

    for pointer, change in wrong.items():
        answer = person("POST", PATH, json=decision_on(service, party) | change)

        assert slug(answer) == (422, "invalid-request")
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
        assert str(next(iter(change.values()))) not in answer.text.replace("relying_party_id", "")

    assert list_states(person) == []


def test_an_unknown_consent_cannot_be_withdrawn(service: RunningService) -> None:
    answer = service.person()("DELETE", f"{PATH}/{uuid4()}")

    assert slug(answer) == (404, "not-found")


@pytest.mark.parametrize("change", ["nothing", "its relying party was revoked", "its notice was replaced"])
def test_a_refusal_ends_a_consent_despite_later_changes(service: RunningService, change: str) -> None:
    person, party, consent = service.enrolled(face=1)
    refusal = decision_on(service, party, decision="refused")
    if change == "its relying party was revoked":
        parties.revoke(service.vault, party_id=UUID(party.id), now=service.clock())
    if change == "its notice was replaced":
        publish(service.vault, draft(version=99), now=service.clock())
    unknown = person("POST", PATH, json={**refusal, "notice_sha256": "0" * 64}).status_code
    answer = person("POST", PATH, json=refusal)

    assert (unknown, answer.status_code) == (409, 201), answer.text
    assert person("GET", PATH).json()["in_force"] == []
    assert person("GET", PATH).json()["items"][0]["state"] == "refused"
    assert person("DELETE", f"{PATH}/{consent['consent_id']}").json()["state"] == "withdrawn"


def test_an_end_that_was_not_recorded_is_recorded_at_the_next_request(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, party = service.person(), service.party()
    consent = service.consent(person, party)
    address = f"/v1/me/consents/{consent['consent_id']}"

    def fail(*_arguments: object) -> Never:
        raise KekError("the key is missing")

    with monkeypatch.context() as failing:
        failing.setattr(signing_keys, "load_private_key", fail)
        first, meanwhile = person("DELETE", address).json(), person("DELETE", address).json()
    later, again = person("DELETE", address).json(), person("DELETE", address).json()
    listed = [one["state"] for one in person("GET", "/v1/me/consents").json()["items"]]

    assert [one["state"] for one in (first, meanwhile, later, again)] == ["withdrawn"] * 4
    assert (first["receipt"], meanwhile["receipt"]) == (None, None)
    assert later["receipt"] is not None
    assert again["receipt"]["jws"] == later["receipt"]["jws"]
    assert listed == ["withdrawn", "given"]
