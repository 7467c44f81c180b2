"""A dispute pauses matching for its relying party until the person lifts it."""

import json
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.byte_scan import Needles, files_under, rows
from tests.support.launcher import run_here
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, enrol, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

NOTE = "I was abroad on that day, canary"


def compared(party: Party, consent: dict[str, Any], face: int = 1) -> str:
    """Let the party compare. Returns the address for a dispute of the comparison."""
    answer = party.verify(consent["subject_ref"], toy_photo(face))
    assert answer.status_code == 200, answer.text
    return f"/v1/me/comparisons/{answer.json()['comparison_id']}/dispute"


def test_a_dispute_pauses_matching_and_the_party_gets_the_common_refusal(service: RunningService) -> None:
    person, door, consent = service.enrolled(face=1)
    gate = service.party("Gate")
    at_gate = service.consent(person, gate)
    enrol(person, [at_gate["consent_id"]], [toy_photo(1)])
    asked: list[int] = []
    address = compared(door, consent)
    said = person("PUT", address, json={"note": NOTE}).json()
    service.pool.before = lambda: asked.append(1)
    unknown, refused = (door.verify(ref, toy_photo(1)) for ref in ("unknown", consent["subject_ref"]))
    listed = door("GET", "/v1/relying-party/subjects").json()["items"]
    elsewhere = gate.verify(at_gate["subject_ref"], toy_photo(1)).json()["decision"]

    assert said.pop("receipt")["jws"].count(".") == 2
    assert said == {"comparison_id": address.split("/")[4], "disputed": True, "paused": True, "note": NOTE}
    assert (refused.status_code, refused.content) == (404, unknown.content)
    assert [one["subject_ref"] for one in listed] == [consent["subject_ref"]], "the list does not tell of a dispute"
    assert (asked, elsewhere) == ([1], "match"), "only the gate's image reached the engine"


def test_an_enrolment_during_a_dispute_is_refused_with_the_reason(service: RunningService) -> None:
    person, door, consent = service.enrolled(face=1)
    address = compared(door, consent)
    person("PUT", address).raise_for_status()
    again = enrol(person, [consent["consent_id"]], [toy_photo(1)])
    (grant,) = person("GET", "/v1/me/consents").json()["in_force"]
    person("DELETE", address).raise_for_status()

    assert (again.status_code, again.json()["type"]) == (423, "urn:mien:problem:restricted")
    assert "/dispute" in again.json()["detail"]
    assert grant["paused"] is True
    assert enrol(person, [consent["consent_id"]], [toy_photo(1)]).status_code == 201


def test_after_the_dispute_is_lifted_the_same_template_matches_again(service: RunningService) -> None:
    person, door, consent = service.enrolled(face=1)
    address = compared(door, consent)
    said = [person(method, address).json() for method in ("PUT", "PUT", "DELETE", "DELETE")]

    assert [(one["disputed"], one["paused"]) for one in said] == [(True, True)] * 2 + [(False, False)] * 2
    assert [one["receipt"] is not None for one in said] == [True, False, True, False], "a repetition changes nothing"
    assert door.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] == "match"


def test_lifting_the_last_dispute_ends_the_pause(service: RunningService) -> None:
    person, door, consent = service.enrolled(face=1)
    first, second = compared(door, consent), compared(door, consent)
    for one in (first, second):
        person("PUT", one).raise_for_status()
    between = person("DELETE", first).json()
    still = door.verify(consent["subject_ref"], toy_photo(1)).status_code
    last = person("DELETE", second).json()

    assert (between["disputed"], between["paused"], still) == (False, True, 404)
    assert last["paused"] is False
    assert door.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] == "match"


def test_dispute_of_a_consent_that_ended_pauses_no_new_one(service: RunningService) -> None:
    person, door, consent = service.enrolled(face=1)
    first, second = compared(door, consent), compared(door, consent)
    for one in (first, second):
        person("PUT", one).raise_for_status()
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}").raise_for_status()
    without = person("DELETE", first).json()
    person("PUT", first).raise_for_status()
    anew = service.consent(person, door)
    enrol(person, [anew["consent_id"]], [toy_photo(1)]).raise_for_status()
    said = person("DELETE", first).json()

    assert (without["paused"], said["paused"]) == (False, False)
    assert door.verify(anew["subject_ref"], toy_photo(1)).json()["decision"] == "match"


def test_a_new_note_replaces_the_old_one_and_no_note_keeps_it(service: RunningService) -> None:
    person, door, consent = service.enrolled(face=1)
    address = compared(door, consent)
    notes = [person("PUT", address, json=body).json()["note"] for body in ({}, {"note": "a"}, {}, {"note": "b"})]
    bodies: list[Any] = [{"note": ""}, {"note": "x" * 1001}, {"note": 1}, {"other": "x"}, []]
    wrong = [person("PUT", address, json=body).status_code for body in bodies]

    assert notes == [None, "a", "a", "b"]
    assert wrong == [422] * 5


def test_another_caller_cannot_dispute_or_lift(service: RunningService) -> None:
    person, door, consent = service.enrolled(face=1)
    other = service.person("Ben")
    address = compared(door, consent)
    theirs = [other(method, address).status_code for method in ("PUT", "DELETE")]
    person("PUT", address).raise_for_status()
    again = [who(method, address).status_code for who in (other, door) for method in ("PUT", "DELETE")]
    nothing = [person(method, f"/v1/me/comparisons/{uuid4()}/dispute").status_code for method in ("PUT", "DELETE")]

    assert (theirs, again, nothing) == ([404, 404], [404, 404, 403, 403], [404, 404])
    assert door.verify(consent["subject_ref"], toy_photo(1)).status_code == 404


def test_the_person_and_the_controller_can_read_a_dispute_and_the_files_cannot(service: RunningService) -> None:
    person, door, consent = service.enrolled(face=1)
    address = compared(door, consent)
    compared(door, consent)
    person("PUT", address, json={"note": NOTE}).raise_for_status()
    items = person("GET", "/v1/me/comparisons").json()["items"]
    (held,) = person("GET", "/v1/me/access").json()["data"]["disputes"]
    service.vault.checkpoint_all()
    found = Needles().text("note", NOTE).found(files_under(service.root / "data", service.root / "keys"))
    listed = json.loads(run_here(service.root, "disputes", "--json").stdout)["disputes"]
    printed = run_here(service.root, "disputes").stdout

    comparison_id = address.split("/")[4]
    assert [(one["comparison_id"] == comparison_id, one["disputed"]) for one in items] == [(False, False), (True, True)]
    assert (held["id"], held["content"]["note"]) == (comparison_id, NOTE)
    assert found == []
    assert [(one["comparison_id"], one["relying_party"], one["note"]) for one in listed] == [
        (comparison_id, "Door", NOTE)
    ]
    assert NOTE in printed
    assert person.subject_id not in json.dumps(listed) + printed


def test_a_dispute_stays_after_the_consent_and_is_erased_with_the_person(service: RunningService) -> None:
    person, door, consent = service.enrolled(face=1)
    address = compared(door, consent)
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}").raise_for_status()
    late = person("PUT", address).json()
    anew = service.consent(person, door)
    enrol(person, [anew["consent_id"]], [toy_photo(1)])
    verified = door.verify(anew["subject_ref"], toy_photo(1)).status_code
    lifted = person("DELETE", address).json()["disputed"]
    person("PUT", address).raise_for_status()
    person("DELETE", "/v1/me").raise_for_status()

    assert (late["disputed"], late["paused"]) == (True, False), "no consent was left to pause"
    assert (verified, lifted) == (200, False), "a new consent is not disputed"
    assert rows(in_file(service.vault.data).path, "SELECT * FROM disputes") == []


@pytest.mark.parametrize("lifted_since", [False, True])
def test_an_older_backup_does_not_undo_a_dispute(root: Path, pool: SharedPool, lifted_since: bool) -> None:  # noqa: FBT001 - a parameter
    """The backup has no dispute, so any comparison of that relying party can lift the pause."""
    with serving(root, pool, toy_card()) as service:
        ada, door, consent = service.enrolled(face=1)
        _, _, others = service.enrolled(face=2, party=door)
        address = compared(door, consent)
    backup = root.with_name("backup")
    shutil.copytree(root / "data", backup)
    with serving(root, pool, toy_card()) as service:
        person = Person(service.client, ada.subject_id, ada.token, "")
        person("PUT", address).raise_for_status()
        if lifted_since:
            person("DELETE", address).raise_for_status()
    shutil.rmtree(root / "data")
    shutil.copytree(backup, root / "data")
    with serving(root, pool, toy_card()) as service:
        person, again = Person(service.client, ada.subject_id, ada.token, ""), Party(service.client, "", door.key)
        verified = [again.verify(one["subject_ref"], toy_photo(1 + n)) for n, one in enumerate((consent, others))]
        lift = person("DELETE", address).json()
        after = again.verify(consent["subject_ref"], toy_photo(1))

    assert [one.status_code for one in verified] == [404, 200]
    assert (lift["paused"], lift["receipt"] is not None) == (False, True)
    assert after.json()["decision"] == "match"
