"""Enrolment: one reference for each consent, all or nothing, and deleted when the subject wants it."""

import io
from typing import Any
from uuid import uuid4

import httpx
from PIL import Image

from app.faces.permit import Purpose
from tests.consent.spies import count, everything
from tests.support.byte_scan import rows
from tests.support.service_fixture import Party, Person, RunningService, enrol
from tests.support.sqlite_stores import in_file
from tests.support.toy_faces import toy_photo

PATH = "/v1/me/enrolments"


def slug(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the slug of a problem."""
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def enrolments(person: Person) -> list[dict[str, Any]]:
    """Return the subject's enrolments, as listed."""
    items: list[dict[str, Any]] = person("GET", PATH).json()["items"]
    return items


def generations(service: RunningService, consent: dict[str, Any]) -> set[int]:
    """Return the generations of a consent's keys."""
    return service.living_keys(consent["consent_id"]).get(consent["consent_id"], set())


def decision(party: Party, consent: dict[str, Any], face: int) -> str:
    """Return the decision that the relying party gets about a face."""
    return str(party.verify(consent["subject_ref"], toy_photo(face, variant=3)).json().get("decision"))


def test_each_of_several_consents_gets_its_own_template(service: RunningService) -> None:
    person = service.person()
    doors = [service.party("Door", Purpose.VERIFICATION, Purpose.IDENTIFICATION), service.party("Gate")]
    consents = [
        service.consent(person, doors[0]),
        service.consent(person, doors[0], "identification"),
        service.consent(person, doors[1]),
    ]
    ids = [one["consent_id"] for one in consents]

    answer = enrol(person, [*ids, ids[0]], [toy_photo(1), toy_photo(1, variant=1)])

    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert (set(body), body["engine"]) == ({"enrolment_id", "engine", "photos", "more_photos"}, "toy")
    assert [photo["index"] for photo in body["photos"]] == [0, 1]
    assert all(photo["quality"] for photo in body["photos"])
    (listed,) = enrolments(person)
    assert listed["enrolment_id"] == body["enrolment_id"]
    assert sorted(one["consent_id"] for one in listed["templates"]) == sorted(ids)
    assert listed["photo_ids"] == []
    sealed = rows(in_file(service.vault.data).path, "SELECT DISTINCT sealed FROM templates")
    assert len(sealed) == 3, "each is sealed under its own key"
    assert [decision(doors[0], consents[0], 1), decision(doors[1], consents[2], 1)] == ["match", "match"]
    person("DELETE", f"/v1/me/consents/{ids[0]}")
    assert [decision(doors[0], consents[0], 1), decision(doors[1], consents[2], 1)] == ["None", "match"]


def test_a_new_enrolment_replaces_the_template(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    (old,) = enrolments(person)

    answer = enrol(person, [consent["consent_id"]], [toy_photo(2)])

    (new,) = enrolments(person)
    assert new["enrolment_id"] == answer.json()["enrolment_id"] != old["enrolment_id"]
    assert [decision(party, consent, 1), decision(party, consent, 2)] == ["no_match", "match"]
    assert len(generations(service, consent)) == 1, "the key of the replaced template is destroyed"
    assert count(service.vault, "templates") == 1


def test_a_kept_photo_is_a_jpeg_without_metadata_for_its_subject_only(service: RunningService) -> None:
    person, other, party = service.person(), service.person(), service.party()
    consent, renewal = service.consent(person, party), service.consent(person, None, "template_renewal")
    secret = b"GPS 52.5 13.4 canary"
    with_exif = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = secret.decode()
    Image.open(io.BytesIO(toy_photo(1, size=(640, 480)))).save(with_exif, "JPEG", exif=exif, comment=secret, quality=95)
    assert with_exif.getvalue().count(secret) == 2

    enrol(person, [consent["consent_id"]], [with_exif.getvalue(), toy_photo(1)], keep_photos="true")

    (listed,) = enrolments(person)
    for photo_id, size in zip(listed["photo_ids"], [(640, 480), (320, 240)], strict=True):
        answer = person("GET", f"/v1/me/photos/{photo_id}")
        image = Image.open(io.BytesIO(answer.content))

        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert answer.headers["cache-control"] == "no-store"
        assert (image.format, image.size, dict(image.getexif())) == ("JPEG", size, {})
        assert secret not in answer.content
        assert "comment" not in image.info
        assert other("GET", f"/v1/me/photos/{photo_id}").status_code == 404
        assert party("GET", f"/v1/me/photos/{photo_id}").status_code == 403
    person("DELETE", f"/v1/me/consents/{renewal['consent_id']}")
    assert person("GET", f"/v1/me/photos/{listed['photo_ids'][0]}").status_code == 404
    assert (count(service.vault, "photos"), count(service.vault, "templates")) == (0, 1), "the template stays"
    assert decision(party, consent, 1) == "match"


def test_photos_are_kept_only_on_request(service: RunningService) -> None:
    person = service.person()
    consent = service.consent(person, service.party())
    service.consent(person, None, "template_renewal")

    for keep in ({}, {"keep_photos": "false"}):
        enrol(person, [consent["consent_id"]], [toy_photo(1)], **keep)

        assert count(service.vault, "photos") == 0, keep


def test_a_new_enrolment_replaces_the_kept_photos(service: RunningService) -> None:
    person = service.person()
    consent, renewal = service.consent(person, service.party()), service.consent(person, None, "template_renewal")

    for keep, kept in (("true", 2), ("true", 2), ("false", 0)):
        enrol(person, [consent["consent_id"]], [toy_photo(1), toy_photo(1, variant=1)], keep_photos=keep)

        (listed,) = enrolments(person)
        assert len(listed["photo_ids"]) == count(service.vault, "photos") == kept
        assert len(generations(service, renewal)) == 1, "older keys are destroyed"


def test_deleting_an_enrolment_leaves_the_consent_and_no_template(service: RunningService) -> None:
    person, party, consent = service.enrolled()
    renewal = service.consent(person, None, "template_renewal")
    enrol(person, [consent["consent_id"]], [toy_photo(1)], keep_photos="true")
    (listed,) = enrolments(person)
    before = [generations(service, one) for one in (consent, renewal)]

    deleted = person("DELETE", f"{PATH}/{listed['enrolment_id']}")

    assert (deleted.status_code, deleted.json()["erased_from_disk"]) == (200, True)
    assert enrolments(person) == []
    assert count(service.vault, "templates") == count(service.vault, "photos") == 0
    assert person("GET", f"/v1/me/photos/{listed['photo_ids'][0]}").status_code == 404
    after = [generations(service, one) for one in (consent, renewal)]
    assert [len(one) for one in after] == [1, 1]
    assert [one & two for one, two in zip(before, after, strict=True)] == [set(), set()], "the old keys are gone"
    assert slug(party.verify(consent["subject_ref"], toy_photo(1))) == (404, "no-such-consent")
    assert len(person("GET", "/v1/me/consents").json()["in_force"]) == 2
    assert person("DELETE", f"{PATH}/{listed['enrolment_id']}").status_code == 404
    assert enrol(person, [consent["consent_id"]], [toy_photo(2)]).status_code == 201, "the consent is still in force"
    assert decision(party, consent, 2) == "match"


def test_one_unusable_photo_prevents_the_whole_enrolment(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    before = everything(service.vault)
    cut = toy_photo(2)[:200]

    answer = enrol(person, [consent["consent_id"]], [toy_photo(2), toy_photo(), cut, toy_photo(2, 3), b"text"])

    problem = answer.json()
    assert slug(answer) == (422, "no-face")
    assert [(one["index"], one["slug"]) for one in problem["photos"]] == [
        (1, "no-face"),
        (2, "undecodable-image"),
        (3, "several-faces"),
        (4, "unsupported-image"),
    ]
    assert all(set(one) == {"index", "slug", "detail"} and one["detail"].endswith(".") for one in problem["photos"])
    assert everything(service.vault) == before
    assert decision(party, consent, 1) == "match"


def test_one_to_five_photos_make_an_enrolment(service: RunningService) -> None:
    person, _, consent = service.enrolled()
    before = everything(service.vault)

    # Without a photo, `enrol` would send a form of another kind.
    none = person("POST", "/v1/me/enrolments", files={"consent_id": (None, consent["consent_id"])})
    for answer in (none, enrol(person, [consent["consent_id"]], [toy_photo(1)] * 6)):
        assert slug(answer) == (422, "invalid-request")
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/photos"]
        assert everything(service.vault) == before

    for number in (1, 5):
        assert enrol(person, [consent["consent_id"]], [toy_photo(1)] * number).status_code == 201, number


def test_the_fields_of_an_enrolment_are_checked(service: RunningService) -> None:
    person, _, consent = service.enrolled()
    good = consent["consent_id"]
    before = everything(service.vault)

    wrong = [
        enrol(person, [], [toy_photo(1)]),
        enrol(person, ["no id"], [toy_photo(1)]),
        enrol(person, [str(uuid4()) for _ in range(21)], [toy_photo(1)]),
        enrol(person, [good], [toy_photo(1)], keep_photos="perhaps"),
        enrol(person, [good], [toy_photo(1)], capture_id="no id"),
        person("POST", PATH, json={"consent_id": good}),
        person("POST", PATH),
    ]

    assert [slug(answer) for answer in wrong] == [(422, "invalid-request")] * len(wrong)
    assert everything(service.vault) == before
    assert enrol(person, [good], [toy_photo(1)], capture_id=str(uuid4())).status_code == 201
