"""Law 9: a relying party learns only a decision. Every reference that it may not use gets the same answer."""

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
from tests.support.changed_schema import without_trigger
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

BOTH = (Purpose.VERIFICATION, Purpose.IDENTIFICATION)


def enrolled_for(
    service: RunningService, party: Party, purpose: str = "verification", **more: object
) -> tuple[Person, str, str]:
    """Enrol a person with face 1. Returns the person, the consent's id and the party's reference."""
    person = service.person()
    consent = service.consent(person, party, purpose, **more)
    answer = enrol(person, [consent["consent_id"]], [toy_photo(1)])
    assert answer.status_code == 201, answer.text
    return person, consent["consent_id"], consent["subject_ref"]


def unusable(service: RunningService, door: Party) -> Iterator[tuple[str, str]]:
    """Yield every kind of reference that the door may not use, by name."""
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
    person, consent_id, ref = enrolled_for(service, door)
    yield "failed too often, and withdrawn", ref
    assert fail(door, {"subject_ref": ref}, 6) == [200] * 5 + [429]
    person("DELETE", f"/v1/me/consents/{consent_id}")
    person, _, ref = enrolled_for(service, door)
    yield "erased", ref
    assert person("DELETE", "/v1/me").json()["status"] == "completed"
    yield "for identification only", enrolled_for(service, door, "identification")[2]
    yield from _changed_in_database(service, door)
    yield "expired", enrolled_for(service, door, valid_until=(service.clock() + timedelta(hours=1)).isoformat())[2]


def _changed_in_database(service: RunningService, door: Party) -> Iterator[tuple[str, str]]:
    """Yield references that the door may not use because of a changed row."""
    restrict = "UPDATE subjects SET spell_id = NULL WHERE id = :subject"
    damage = "UPDATE templates SET sealed = zeroblob(300) WHERE grant_id = :grant"
    changes = {
        "restricted": [restrict],
        "disputed": ["UPDATE grants SET spell_id = NULL WHERE id = :grant"],
        "being erased": ["UPDATE subjects SET erasing = 1 WHERE id = :subject"],
        "of other weights": [f"UPDATE templates SET weights_sha256 = '{0:064}' WHERE grant_id = :grant"],  # noqa: S608 - digits
        "damaged": [damage],
        "damaged, and restricted": [damage, restrict],
    }
    for name, statements_ in changes.items():
        person, consent_id, ref = enrolled_for(service, door)
        yield name, ref
        for statement in statements_:
            ids = {"subject": UUID(person.subject_id).hex, "grant": UUID(consent_id).hex}
            with without_trigger(service.vault.data, "templates_are_never_relabelled"):
                change_row(service.vault, statement, **ids)


RANDOM = {"date", "x-request-id"}
"""Headers that tell nothing: they differ between any two answers."""


def as_sent(answer: httpx.Response) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
    """Return an answer without its date and its random request id."""
    return (
        answer.status_code,
        answer.content,
        tuple((name, value) for name, value in answer.headers.multi_items() if name not in RANDOM),
    )


@pytest.fixture
def service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A service that does not block a party that tries as many references as here."""
    with serving(root, pool, toy_card(), background=False, failed_references=1000) as running:
        yield running


def test_every_reference_that_may_not_be_used_is_one_answer(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = service.party("Door", *BOTH)
    references = dict(unusable(service, door))
    usable = enrolled_for(service, door)[2]
    service.clock.advance(hours=2)
    pipe = watch_pipe(monkeypatch)
    # The transparency log has one entry for all refusals to the door until the next batch. The first refusal writes it
    # here, after the batch that the moved clock requires.
    batch.append_batch(service.vault, settings=service.settings, now=service.clock(), at_once=True)
    door.verify("unknown", b"")
    answers: dict[object, list[str]] = {}
    queries: dict[tuple[str, ...], list[str]] = {}

    for name, reference in references.items():
        for probe in (toy_photo(1), toy_photo(), b"not an image", b""):
            with statements(service.vault) as sent:
                answers.setdefault(as_sent(door.verify(reference, probe)), []).append(name)
            queries.setdefault(tuple(sent), []).append(name)

    assert len(answers) == 1, list(answers.values())
    ((status, body, _),) = [answer for answer in answers if isinstance(answer, tuple)]
    assert (status, b"no-such-consent" in body) == (404, True)
    assert len(queries) == 1, queries
    assert next(iter(queries)), "the statements were recorded"
    assert pipe == [], "no image was read"
    assert door.verify(usable, toy_photo(1)).json()["decision"] == "match"
    assert door.verify(usable, b"not an image").status_code == 415, (
        "the fault of a photo is named only for a usable reference"
    )


def test_a_party_that_is_stopped_gets_one_answer_for_every_reference(
    root: Path, pool: SharedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(root, pool, toy_card(), background=False, failed_references=1000) as service:
        door = service.party("Door", *BOTH)
        references = dict(unusable(service, door)) | {"usable": enrolled_for(service, door)[2]}
    # Without jobs: a maintenance run that began before the clock moved would lift the block.
    with serving(root, pool, toy_card(), background=False, failed_references=1) as service:
        door = replace(door, client=service.client)
        service.clock.advance(hours=2)
        door.verify("unknown", toy_photo(1))
        pipe = watch_pipe(monkeypatch)
        answers: set[object] = set()
        queries: set[tuple[str, ...]] = set()
        for reference in references.values():
            with statements(service.vault) as sent:
                answer = door.verify(reference, b"not an image")
            answers.add((answer.status_code, answer.content, tuple(sorted(answer.headers))))
            queries.add(tuple(sent))

    assert len(answers) == len(queries) == 1
    assert (next(iter(answers))[0], pipe) == (429, [])  # type: ignore[index]


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


def test_a_consent_that_ends_while_the_engine_works_is_the_same_answer(service: RunningService) -> None:
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


def test_a_party_learns_only_the_decision(service: RunningService) -> None:
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
        assert set(answer.headers) == RANDOM | {"content-length", "content-type", "cache-control", "mien-controller"}


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
    assert again["subject_ref"] == consents[1]["subject_ref"], "one consent in force keeps the reference"
    assert afresh["subject_ref"] != again["subject_ref"], (
        "after all consents ended, the new reference has no link to the old"
    )


def test_a_party_sees_the_references_whose_consent_stands(service: RunningService) -> None:
    door = service.party("Door", *BOTH)
    references = dict(unusable(service, door))
    service.clock.advance(hours=2)

    page = door("GET", "/v1/relying-party/subjects", params={"limit": 2}).json()
    items = list(page["items"])
    while page["next"] is not None:
        page = door("GET", "/v1/relying-party/subjects", params={"limit": 2, "after": page["next"]}).json()
        items += page["items"]

    listed = {name for name, ref in references.items() if ref in {item["subject_ref"] for item in items}}
    assert listed == {
        "never enrolled",
        "enrolment deleted",
        "restricted",
        "disputed",
        "for identification only",
        "of other weights",
        "damaged",
        "damaged, and restricted",
    }
    assert len({item["subject_ref"] for item in items}) == len(items)
    assert {key for item in items for key in item} == {"subject_ref", "purposes"}
