"""Verification from enrolment to erasure, with the toy engine."""

from tests.support.service_fixture import RunningService, enrol
from tests.support.toy_faces import toy_photo


def test_the_enrolled_face_matches_and_another_does_not(service: RunningService) -> None:
    _, party, consent = service.enrolled(face=1)

    same = party.verify(consent["subject_ref"], toy_photo(1, variant=4))
    other = party.verify(consent["subject_ref"], toy_photo(2))

    assert (same.status_code, same.json()["decision"]) == (200, "match"), same.text
    assert (other.status_code, other.json()["decision"]) == (200, "no_match")
    assert set(same.json()) == {"comparison_id", "decision", "target_fmr", "liveness"}


def test_the_person_sees_each_comparison_newest_first(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    ids = [party.verify(consent["subject_ref"], toy_photo(1, variant=n)).json()["comparison_id"] for n in range(3)]

    first = person("GET", "/v1/me/comparisons", params={"limit": 2}).json()
    rest = person("GET", "/v1/me/comparisons", params={"limit": 2, "after": first["next"]}).json()

    assert [item["comparison_id"] for item in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next"] is None
    assert first["items"][0]["relying_party"] == "Door"


def test_after_withdrawal_the_next_verification_is_refused(service: RunningService) -> None:
    person, party, consent = service.enrolled()

    ended = person("DELETE", f"/v1/me/consents/{consent['consent_id']}")
    again = person("DELETE", f"/v1/me/consents/{consent['consent_id']}")

    assert (ended.status_code, ended.json()["state"]) == (200, "withdrawn")
    assert ended.json()["erased_from_disk"]
    assert again.json() == ended.json()
    assert party.verify(consent["subject_ref"], toy_photo(1)).status_code == 404
    assert enrol(person, [consent["consent_id"]], [toy_photo(1)]).status_code == 403


def test_erasure_completes_and_ends_every_token(service: RunningService) -> None:
    person, party, consent = service.enrolled()

    erased = person("DELETE", "/v1/me")

    assert (erased.status_code, erased.json()["status"]) == (200, "completed"), erased.text
    assert person("GET", "/v1/me").status_code == 401
    assert party.verify(consent["subject_ref"], toy_photo(1)).status_code == 404
    state = service.client.get(f"/v1/erasures/{erased.json()['erasure_id']}").json()
    assert state["status"] == "completed"
    assert {kept["what"] for kept in state["kept"]} == {
        "tombstones",
        "this erasure",
        "leaves of the transparency log",
        "proofs of consent",
    }
