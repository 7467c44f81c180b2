"""A person stops all use of their face and keeps their data; only they lift the restriction (GDPR Art. 18)."""

import shutil
from pathlib import Path

import pytest

from tests.support.byte_scan import rows
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, enrol, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

RESTRICTION = "/v1/me/restriction"


def test_a_party_gets_the_common_refusal_and_the_person_423(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    measured = []
    service.pool.before = lambda: measured.append(1)
    answer = person("PUT", RESTRICTION)
    unknown, refused = (party.verify(ref, toy_photo(1)) for ref in ("unknown", consent["subject_ref"]))
    again = enrol(person, [consent["consent_id"]], [toy_photo(1)])
    listed = party("GET", "/v1/relying-party/subjects").json()["items"]

    body = answer.json()
    assert (answer.status_code, body.pop("receipt")["jws"].count("."), body) == (200, 2, {"restricted": True})
    assert (refused.status_code, refused.content) == (404, unknown.content)
    assert (again.status_code, again.json()["type"]) == (423, "urn:mien:problem:restricted")
    assert [one["subject_ref"] for one in listed] == [consent["subject_ref"]], "the list does not tell of a restriction"
    assert measured == [], "no image reached the engine"


def test_data_stay_and_every_right_is_granted(service: RunningService) -> None:
    person, _, consent = service.enrolled(face=1)
    before = person("GET", "/v1/me/access").json()
    person("PUT", RESTRICTION)
    during = person("GET", "/v1/me/access").json()
    answers = [person("GET", path).status_code for path in ("/v1/me", "/v1/me/export", "/v1/me/comparisons")]

    assert (before["restricted"], during["restricted"]) == (False, True)
    assert during["data"]["templates"] == before["data"]["templates"]
    assert person("GET", "/v1/me").json()["restricted"] is True
    assert answers == [200, 200, 200]
    assert person("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()["state"] == "withdrawn"
    assert person("DELETE", "/v1/me").json()["status"] == "completed"


def test_after_lifting_the_same_template_is_used_again(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    answers = [person(method, RESTRICTION).json() for method in ("PUT", "PUT", "DELETE", "DELETE")]

    assert [one["restricted"] for one in answers] == [True, True, False, False]
    assert [one["receipt"] is not None for one in answers] == [True, False, True, False], "repeating changes nothing"

    assert party.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] == "match"


def test_only_the_person_can_lift_the_restriction(service: RunningService) -> None:
    person, party, _ = service.enrolled(face=1)
    other = service.person("Ben")
    person("PUT", RESTRICTION)
    by_party, by_other = party("DELETE", RESTRICTION).status_code, other("DELETE", RESTRICTION).json()

    assert by_party == 403
    assert by_other == {"restricted": False, "receipt": None}
    assert person("GET", "/v1/me").json()["restricted"] is True


@pytest.mark.parametrize("lifted_after_backup", [False, True])
def test_an_older_backup_does_not_undo_a_restriction(root: Path, pool: SharedPool, lifted_after_backup: bool) -> None:  # noqa: FBT001 - a parameter
    """Also after it was lifted: the backup's matching period has ended, so the person has to lift it again."""
    with serving(root, pool, toy_card()) as service:
        before, party, consent = service.enrolled(face=1)
        _, _, others = service.enrolled(face=2, party=party)
    backup = root.with_name("backup")
    shutil.copytree(root / "data", backup)
    with serving(root, pool, toy_card()) as service:
        person = Person(service.client, before.subject_id, before.token, "")
        person("PUT", RESTRICTION)
        if lifted_after_backup:
            person("DELETE", RESTRICTION)
    shutil.rmtree(root / "data")
    shutil.copytree(backup, root / "data")
    with serving(root, pool, toy_card()) as service:
        person, door = (
            Person(service.client, before.subject_id, before.token, ""),
            Party(service.client, "", party.key),
        )
        restricted = person("GET", "/v1/me").json()["restricted"]
        verified = [door.verify(one["subject_ref"], toy_photo(1 + n)) for n, one in enumerate((consent, others))]
        person("DELETE", RESTRICTION)
        after = door.verify(consent["subject_ref"], toy_photo(1))

    assert restricted is True
    assert [one.status_code for one in verified] == [404, 200]
    assert after.json()["decision"] == "match"


def test_the_tombstone_of_a_matching_period_identifies_no_person(service: RunningService) -> None:
    person = service.person()
    person("PUT", RESTRICTION)
    stones = rows(
        in_file(service.vault.register.store).path,
        "SELECT kind, ended_as, length(digest) FROM tombstones WHERE kind != 'rows_without_code'",
    )

    assert stones == [("spell", "restricted", 32)]
