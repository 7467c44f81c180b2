"""Law 7: only your own face. No image by address, no import, no enrolment of others, one person in an enrolment."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.consent.spies import count, watch_pipe
from tests.support.service_fixture import RunningService, enrol
from tests.support.toy_faces import toy_photo

ADDRESSES = [
    "http://127.0.0.1:1/face.jpg",
    "file:/etc/passwd",
    "/etc/passwd",
    "data:image/png;base64,iVBORw0KGgo=",
]


def test_an_image_is_sent_and_never_fetched(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    person, party, consent = service.enrolled()
    pipe = watch_pipe(monkeypatch)
    path = "/v1/me/enrolments"

    for address in ADDRESSES:
        fields = {"consent_id": consent["consent_id"], "photos": address}
        claim = {"subject_ref": consent["subject_ref"], "probe": address}
        answers = [
            person("POST", path, data=fields),
            person("POST", path, json=fields),
            person("POST", path, data=fields, files={"other": b""}),
            party("POST", "/v1/verifications", data=claim),
            party("POST", "/v1/verifications", data=claim, files={"other": b""}),
        ]

        assert [answer.status_code for answer in answers] == [422] * 5, address
        assert all(address not in answer.text for answer in answers)

    assert pipe == []


def test_an_address_in_a_file_is_no_image(service: RunningService) -> None:
    person, _, consent = service.enrolled()

    for address in ADDRESSES:
        assert enrol(person, [consent["consent_id"]], [address.encode()]).status_code == 415


def _names(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = set(schema.get("properties", {})) if isinstance(schema.get("properties"), dict) else set()
        own |= {schema["name"]} if "in" in schema and "name" in schema else set()
        return own.union(*map(_names, schema.values()))
    return set().union(*map(_names, schema)) if isinstance(schema, list) else set()


def test_no_field_of_the_contract_takes_an_address_or_another_person(service: RunningService) -> None:
    contract = service.client.get("/openapi.json").json()
    asked = [
        operation.get(part, {})
        for methods in contract["paths"].values()
        for operation in methods.values()
        for part in ("parameters", "requestBody")
    ]
    bodies = [contract["components"]["schemas"][name] for name in _references(asked)]
    names = _names([asked, bodies])

    suspicious = {n for n in names if any(w in n for w in ("url", "uri", "path", "base64", "folder", "archive"))}

    assert {"photos", "probe", "declared_adult"} <= names, "the search can see"
    assert suspicious == set()
    assert "subject_id" not in names, "no request names its subject: a token stands for its own subject"


def _references(schema: Any) -> set[str]:
    prefix = '"#/components/schemas/'
    return {part.split('"')[0] for part in json.dumps(schema).split(prefix)[1:]}


def test_a_caller_cannot_enrol_another_person(service: RunningService) -> None:
    _, party, consent = service.enrolled()
    stranger = service.person()
    files = [("photos", ("0.png", toy_photo(2)))]
    data = {"consent_id": consent["consent_id"]}

    by_party = party("POST", "/v1/me/enrolments", data=data, files=files)
    by_nobody = service.client.post("/v1/me/enrolments", data=data, files=files)
    by_stranger = stranger("POST", "/v1/me/enrolments", data=data, files=files)

    assert (by_party.status_code, by_nobody.status_code, by_stranger.status_code) == (403, 401, 403)
    assert party.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] == "match", "nothing was replaced"


def test_the_photos_of_an_enrolment_are_of_one_person(service: RunningService) -> None:
    person, party = service.person(), service.party()
    consent = service.consent(person, party)["consent_id"]
    service.consent(person, None, "template_renewal")
    photos = [toy_photo(1), toy_photo(2), toy_photo(1, variant=1)]

    answer = enrol(person, [consent], photos, keep_photos="true")
    pair = enrol(person, [consent], photos[:2])

    assert (answer.status_code, answer.json()["type"]) == (422, "urn:mien:problem:not-the-same-person")
    assert [(one["index"], one["slug"]) for one in answer.json()["photos"]] == [(1, "not-the-same-person")]
    assert [one["index"] for one in pair.json()["photos"]] == [0, 1], "with two photos, either can be wrong"
    assert count(service.vault, "templates") == count(service.vault, "photos") == 0
    assert enrol(person, [consent], photos[::2]).status_code == 201, "without the odd one"


def test_a_service_without_a_person_takes_no_face(service: RunningService) -> None:
    files = [("photos", ("0.png", toy_photo(1)))]

    answer = service.client.post("/v1/me/enrolments", data={"consent_id": str(uuid4())}, files=files)

    assert answer.status_code == 401
