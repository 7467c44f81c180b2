"""Law 9: a relying party learns a decision and nothing else. Every reference that it may not use is one answer."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from app.faces.permit import Purpose
from app.transparency.log import batch
from tests.comparisons.failures import fail
from tests.consent.spies import change_row, statements, watch_pipe
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

BOTH = (Purpose.VERIFICATION, Purpose.IDENTIFICATION)


def enrolled_for(
    service: RunningService, party: Party, purpose: str = "verification", **more: object
) -> tuple[Person, str, str]:
    """Return somebody enrolled with face 1, their consent_id and the party's reference."""
    person = service.person()
    consent = service.consent(person, party, purpose, **more)
    answer = enrol(person, [consent["consent_id"]], [toy_photo(1)])
    assert answer.status_code == 201, answer.text
    return person, consent["consent_id"], consent["subject_ref"]


def unusable(service: RunningService, door: Party) -> Iterator[tuple[str, str]]:
    """Give every kind of reference that the door may not use, by name."""
    usable = enrolled_for(service, door)[2]
    yield "unknown", secrets.token_urlsafe(18)
    yield "of a usable one, another case", usable.swapcase()
    yield "of a usable one, a part", usable[:-1]
    yield "of a usable one, and a NUL", usable + "\0"
    yield "of a usable one, and a space", usable + " "
    yield "a space", " "
    yield "NUL", "\0"
    yield "a wildcard", "%"
    yield "SQL", "' OR '1'='1"
    yield "an id", enrolled_for(service, door)[1]
    yield "not Latin", "\N{SNOWMAN}" * 64
    yield "long", "a" * 100_000
    gate = service.party("Gate")
    yield "another party's", enrolled_for(service, gate)[2]
    yield "never enrolled", service.consent(service.person(), door)["subject_ref"]
    person, consent_id, ref = enrolled_for(service, door)
    yield "refused", ref
    service.consent(person, door, decision="refused")
    person, consent_id, ref = enrolled_for(service, door)
    yield "withdrawn", ref
    person("DELETE", f"/v1/me/consents/{consent_id}")
    person, _, ref = enrolled_for(service, door)
    yield "enrolment deleted", ref
    (one,) = person("GET", "/v1/me/enrolments").json()["items"]
    person("DELETE", f"/v1/me/enrolments/{one['enrolment_id']}")
    person, _, ref = enrolled_for(service, door)
    yield "restricted", ref
    change_row(service.vault, "UPDATE subjects SET spell_id = NULL WHERE id = :id", id=UUID(person.subject_id).hex)
    person, consent_id, ref = enrolled_for(service, door)
    yield "disputed", ref
    change_row(service.vault, "UPDATE grants SET spell_id = NULL WHERE id = :id", id=UUID(consent_id).hex)
    person, consent_id, ref = enrolled_for(service, door)
    yield "failed too often, and withdrawn", ref
    assert fail(door, {"subject_ref": ref}, 6) == [200] * 5 + [429]
    person("DELETE", f"/v1/me/consents/{consent_id}")
    person, _, ref = enrolled_for(service, door)
    yield "being erased", ref
    change_row(service.vault, "UPDATE subjects SET erasing = 1 WHERE id = :id", id=UUID(person.subject_id).hex)
    person, _, ref = enrolled_for(service, door)
    yield "erased", ref
    assert person("DELETE", "/v1/me").json()["status"] == "completed"
    yield "for identification only", enrolled_for(service, door, "identification")[2]
    _, consent_id, ref = enrolled_for(service, door)
    yield "of other weights", ref
    change_row(service.vault, "DROP TRIGGER templates_are_never_relabelled")
    other_weights = "UPDATE templates SET weights_sha256 = :other WHERE grant_id = :id"
    change_row(service.vault, other_weights, other="0" * 64, id=UUID(consent_id).hex)
    yield "expired", enrolled_for(service, door, valid_until=(service.clock() + timedelta(hours=1)).isoformat())[2]


def as_sent(answer: httpx.Response) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
    """Return all of an answer but its date."""
    return (
        answer.status_code,
        answer.content,
        tuple((name, value) for name, value in answer.headers.multi_items() if name != "date"),
    )


@pytest.fixture
def service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A service that stops nobody for trying so many references as here."""
    with serving(root, pool, toy_card(), failed_references=1000) as running:
        yield running


def test_every_reference_that_may_not_be_used_is_one_answer(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = service.party("Door", *BOTH)
    references = dict(unusable(service, door))
    usable = enrolled_for(service, door)[2]
    service.clock.advance(hours=2)
    pipe = watch_pipe(monkeypatch)
    # The first refusal to the door is noted in the log; as long as that waits for its batch, no other is. The batch
    # that the moved clock calls for comes before.
    batch.append_batch(service.vault, now=service.clock(), at_once=True)
    door.verify("nobody", b"")
    said: dict[object, list[str]] = {}
    asked: dict[tuple[str, ...], list[str]] = {}

    for name, reference in references.items():
        for probe in (toy_photo(1), toy_photo(), b"not an image", b""):
            with statements(service.vault) as sent:
                said.setdefault(as_sent(door.verify(reference, probe)), []).append(name)
            asked.setdefault(tuple(sent), []).append(name)

    assert len(said) == 1, list(said.values())
    ((status, body, _),) = [answer for answer in said if isinstance(answer, tuple)]
    assert (status, b"no-such-consent" in body) == (404, True)
    assert len(asked) == 1, asked
    assert next(iter(asked)), "the statements are seen"
    assert pipe == [], "no image was read"
    assert door.verify(usable, toy_photo(1)).json()["decision"] == "match"
    assert door.verify(usable, b"not an image").status_code == 415, "only who may ask learns what is wrong with a photo"


def test_a_party_that_is_stopped_gets_one_answer_for_every_reference(
    root: Path, pool: SharedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(root, pool, toy_card(), failed_references=1000) as service:
        door = service.party("Door", *BOTH)
        references = dict(unusable(service, door)) | {"usable": enrolled_for(service, door)[2]}
    with serving(root, pool, toy_card(), failed_references=1) as service:
        door = replace(door, client=service.client)
        service.clock.advance(hours=2)
        door.verify("nobody", toy_photo(1))
        pipe = watch_pipe(monkeypatch)
        said: set[object] = set()
        asked: set[tuple[str, ...]] = set()
        for reference in references.values():
            with statements(service.vault) as sent:
                answer = door.verify(reference, b"not an image")
            said.add((answer.status_code, answer.content, tuple(sorted(answer.headers))))
            asked.add(tuple(sent))

    assert len(said) == len(asked) == 1
    assert (next(iter(said))[0], pipe) == (429, [])  # type: ignore[index]


def test_a_missing_or_empty_reference_is_refused_for_its_form(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, party, _ = service.enrolled()
    pipe = watch_pipe(monkeypatch)

    answers = [
        party("POST", "/v1/verifications", files={"probe": toy_photo(1)}),
        party("POST", "/v1/verifications", data={"subject_ref": ""}, files={"probe": toy_photo(1)}),
    ]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert pipe == []


def test_what_ends_while_the_engine_works_is_the_same_answer(service: RunningService) -> None:
    door = service.party()
    unknown = as_sent(door.verify("unknown", toy_photo(1)))
    answers = {}

    def ends(name: str, path: str, person: Person, ref: str) -> None:
        def meanwhile() -> None:
            assert person("DELETE", path).status_code == 200

        service.pool.after = meanwhile
        answers[name] = as_sent(door.verify(ref, toy_photo(1)))
        service.pool.reset()

    person, consent_id, ref = enrolled_for(service, door)
    ends("withdrawn", f"/v1/me/consents/{consent_id}", person, ref)
    person, _, ref = enrolled_for(service, door)
    (one,) = person("GET", "/v1/me/enrolments").json()["items"]
    ends("enrolment deleted", f"/v1/me/enrolments/{one['enrolment_id']}", person, ref)
    person, _, ref = enrolled_for(service, door)
    ends("erased", "/v1/me", person, ref)
    person, _, ref = enrolled_for(service, door, valid_until=(service.clock() + timedelta(hours=1)).isoformat())
    service.pool.after = lambda: service.clock.advance(hours=2)
    answers["expired"] = as_sent(door.verify(ref, toy_photo(1)))

    assert answers == dict.fromkeys(answers, unknown)


def test_a_decision_is_all_that_a_party_learns(service: RunningService) -> None:
    _, party, consent = service.enrolled(face=1)

    yes = party.verify(consent["subject_ref"], toy_photo(1, variant=1))
    no = party.verify(consent["subject_ref"], toy_photo(2))

    assert (yes.json()["decision"], no.json()["decision"]) == ("match", "no_match")
    for answer in (yes, no):
        assert answer.json() | {"comparison_id": 0, "decision": 0} == {
            "comparison_id": 0,
            "decision": 0,
            "target_fmr": 1e-3,
            "liveness": "not_checked",
        }
        assert set(answer.headers) == {"date", "content-length", "content-type", "cache-control", "mien-controller"}


def test_two_parties_know_one_person_under_two_references(service: RunningService) -> None:
    person, door, gate = service.person(), service.party("Door"), service.party("Gate")
    consents = [service.consent(person, party) for party in (door, gate)]
    enrol(person, [one["consent_id"] for one in consents], [toy_photo(1)])
    at_door, at_gate = (one["subject_ref"] for one in consents)

    assert at_door != at_gate
    assert door.verify(at_door, toy_photo(1)).json()["decision"] == "match"
    assert gate.verify(at_gate, toy_photo(1)).json()["decision"] == "match"
    assert as_sent(door.verify(at_gate, toy_photo(1))) == as_sent(door.verify("unknown", toy_photo(1)))
    assert [item["subject_ref"] for item in door("GET", "/v1/relying-party/subjects").json()["items"]] == [at_door]
    assert person.subject_id not in at_door + at_gate


def test_one_party_knows_a_person_under_one_reference_for_two_purposes(service: RunningService) -> None:
    person, door = service.person(), service.party("Door", *BOTH)
    consents = [service.consent(person, door, purpose) for purpose in BOTH]
    (listed,) = door("GET", "/v1/relying-party/subjects").json()["items"]
    person("DELETE", f"/v1/me/consents/{consents[0]['consent_id']}")
    again = service.consent(person, door)
    for one in (again, consents[1]):
        person("DELETE", f"/v1/me/consents/{one['consent_id']}")
    afresh = service.consent(person, door)

    assert consents[0]["subject_ref"] == consents[1]["subject_ref"] == listed["subject_ref"]
    assert listed["purposes"] == sorted(BOTH)
    assert again["subject_ref"] == consents[1]["subject_ref"], "while one consent stands, it is the same reference"
    assert afresh["subject_ref"] != again["subject_ref"], "after all ended, nothing joins the old to the new"


def test_a_party_sees_references_only_of_those_who_may_be_matched(service: RunningService) -> None:
    door = service.party("Door", *BOTH)
    references = dict(unusable(service, door))
    service.clock.advance(hours=2)

    page = door("GET", "/v1/relying-party/subjects", params={"limit": 2}).json()
    items = list(page["items"])
    while page["next"] is not None:
        page = door("GET", "/v1/relying-party/subjects", params={"limit": 2, "after": page["next"]}).json()
        items += page["items"]

    listed = {name for name, ref in references.items() if ref in {item["subject_ref"] for item in items}}
    assert listed == {"never enrolled", "enrolment deleted", "for identification only", "of other weights"}
    assert len({item["subject_ref"] for item in items}) == len(items)
    assert {key for item in items for key in item} == {"subject_ref", "purposes"}
