"""Hostile bodies, parameters and framings: each gets a problem document, and the service goes on."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.consent.spies import everything
from tests.rest.conftest import slug
from tests.rest.raw_http import END, FORM, JSON, Connection, head, part
from tests.support.service_fixture import Party, Person, RunningService
from tests.support.toy_faces import toy_photo

INVALID = (422, "invalid-request")
NESTED = 40_000

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a string": b'"declared_adult"',
    "brackets": b"[" * NESTED,
    "brackets that are closed": b"[" * NESTED + b"]" * NESTED,
    "braces": b'{"a":' * NESTED,
    "brackets in a field": b'{"declared_adult":' + b"[" * NESTED + b"]" * NESTED + b"}",
    "NaN": b'{"declared_adult": NaN}',
    "infinity": b'{"declared_adult": true, "display_name": Infinity}',
    "a number of 5,000 digits": b'{"declared_adult": ' + b"9" * 5000 + b"}",
    "a number too large": b'{"declared_adult": 1e999}',
    "a number for yes": b'{"declared_adult": 1}',
    "a text for yes": b'{"declared_adult": "true"}',
    "a lone surrogate": b'{"declared_adult": true, "display_name": "\\ud800"}',
    "a lone surrogate in a key": b'{"declared_adult": true, "\\ud800": 1}',
    "no UTF-8": b'{"declared_adult": true, "display_name": "\xff\xfe"}',
    "an unknown field": b'{"declared_adult": true, "email": "ada@example.org"}',
    "a member twice": b'{"declared_adult": true, "declared_adult": true}',
    "a member twice, once with an escape": b'{"declared_adult": true, "declared_\\u0061dult": true}',
    "a member twice in a list in a field": b'{"declared_adult": true, "display_name": [{"a": 1, "a": 1}]}',
    "the name is too long": b'{"declared_adult": true, "display_name": "' + b"a" * 201 + b'"}',
}
KINDS = [
    "text/plain",
    "application/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "x",
    "",
]


def test_invalid_json_is_an_invalid_request(service: RunningService) -> None:
    before = everything(service.vault)

    for name, body in BODIES.items():
        answer = service.client.post("/v1/subjects", content=body, headers=JSON)

        assert (name, *slug(answer)) == (name, *INVALID)
        assert len(answer.content) < 2000, "the body is not repeated"
        assert answer.json()["errors"]
    for kind in KINDS:
        answer = service.client.post(
            "/v1/subjects", content=b'{"declared_adult": true}', headers={"Content-Type": kind}
        )

        assert (kind, *slug(answer)) == (kind, *INVALID)
    assert everything(service.vault) == before


def test_a_form_without_its_photos_lacks_only_the_photos(service: RunningService) -> None:
    """Some libraries send a form without files in another format (`application/x-www-form-urlencoded`)."""
    person, _, consent = service.enrolled()
    answer = person("POST", "/v1/me/enrolments", data={"consent_id": consent["consent_id"]})

    assert slug(answer) == INVALID
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/photos"]


def test_a_member_that_comes_twice_is_named_as_the_fault(service: RunningService) -> None:
    """Some programs read the first of two, and others the last (RFC 8259, 4)."""
    twice = b'{"declared_adult": true, "display_name": "One", "display_name": "Other"}'

    answer = service.client.post("/v1/subjects", content=twice, headers=JSON)

    assert answer.json()["errors"] == [
        {"pointer": "", "detail": "The JSON names a member twice in one object. Send each member once"}
    ]


def test_a_receipt_with_a_member_twice_is_not_verified(service: RunningService) -> None:
    person, party = service.person(), service.party()
    bundle = service.consent(person, party)["receipt"]
    twice = json.dumps(bundle).replace('"leaf"', f'"leaf": "{"0" * 64}", "leaf"', 1)

    def verify(receipt: str) -> httpx.Response:
        return service.client.post("/v1/receipts/verify", content=f'{{"receipt": {receipt}}}', headers=JSON)

    assert verify(json.dumps(bundle)).json()["valid"] is True
    assert slug(verify(twice)) == INVALID
    as_text = verify(json.dumps(twice)).json()
    assert (as_text["valid"], "a member is named twice" in as_text["reason"]) == (False, True)


@pytest.fixture
def enrolled(service: RunningService) -> Iterator[tuple[RunningService, Person, Party, str]]:
    """A service, an enrolled subject, their relying party, and their reference."""
    person, party, consent = service.enrolled()
    yield service, person, party, consent["subject_ref"]
    assert party.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] == "match", "it still works"


Enrolled = tuple[RunningService, Person, Party, str]


def test_an_invalid_form_is_an_invalid_request(enrolled: Enrolled) -> None:
    service, person, party, ref = enrolled
    before = everything(service.vault)
    named, probe = part("subject_ref", ref.encode()), part("probe", toy_photo(1), filename="p")
    forms: dict[str, bytes] = {
        "nothing": b"",
        "zeros": bytes(1000),
        "no end": named,
        "sixty parts": named * 59 + probe + END,
        "a thousand parts": b"".join(part(f"f{number}", b"x") for number in range(1001)) + END,
        "a thousand files": part("probe", b"x", filename="p") * 1001 + END,
        "a header of 100 kB": part("subject_ref", ref.encode(), more=b"\r\nX: " + b"a" * 100_000) + probe + END,
        "5,000 headers": part("subject_ref", ref.encode(), more=b"\r\nX: a" * 5000) + probe + END,
        "a name of 100 kB": part("a" * 100_000, b"x") + named + probe + END,
        "no name": b"--x\r\nX: y\r\n\r\nabc\r\n" + END,
        "a reference of 2 MB": part("subject_ref", b"a" * 2_000_000) + probe + END,
        "a reference as a file": part("subject_ref", ref.encode(), filename="f") + probe + END,
        "a probe that is no file": named + part("probe", b"x") + END,
        "no probe": named + END,
    }

    for name, body in forms.items():
        answer = party("POST", "/v1/verifications", content=body) if not body else _form(party, body)

        expected = (200, "") if name == "sixty parts" else INVALID
        found = (200, "") if answer.status_code == 200 else slug(answer)
        assert (name, *found) == (name, *expected)
    assert everything(service.vault).keys() == before.keys()
    assert len(person("GET", "/v1/me/comparisons").json()["items"]) == 1, "the sixty parts"


def _form(who: Person | Party, body: bytes, kind: str = FORM["Content-Type"]) -> httpx.Response:
    token = who.token if isinstance(who, Person) else who.key
    path = "/v1/me/enrolments" if isinstance(who, Person) else "/v1/verifications"
    return who.client.post(path, content=body, headers={"Content-Type": kind, "Authorization": f"Bearer {token}"})


def test_a_form_of_another_kind_or_without_a_boundary_is_an_invalid_request(enrolled: Enrolled) -> None:
    _, _, party, ref = enrolled
    body = part("subject_ref", ref.encode()) + part("probe", toy_photo(1), filename="p") + END
    kinds = ["", "=", "=y", "=" + "x" * 5000]

    for kind in [f"multipart/form-data; boundary{end}" for end in kinds] + ["multipart/mixed; boundary=x", *KINDS[:3]]:
        assert (kind, *slug(_form(party, body, kind))) == (kind, *INVALID)


def test_strange_references_are_unknown_references(enrolled: Enrolled) -> None:
    _, _, party, ref = enrolled
    probe = part("probe", toy_photo(1), filename="p")
    unknown = _form(party, part("subject_ref", b"unknown") + probe + END)

    for strange in (b"\xff\xfe", b"a\0b", b"", ref.encode() + b" ", b"' OR 1=1 --", b"a" * 500_000, "😀".encode()):
        answer = _form(party, part("subject_ref", strange) + probe + END)

        if strange:
            assert (answer.status_code, answer.content) == (404, unknown.content), strange[:20]
        else:
            assert slug(answer) in {INVALID, (404, "no-such-consent")}


def test_too_many_parts_of_one_name_are_an_invalid_request(enrolled: Enrolled) -> None:
    service, person, _, _ = enrolled
    consent = person("GET", "/v1/me/consents").json()["in_force"][0]["consent_id"].encode()
    named, photo = part("consent_id", consent), part("photos", toy_photo(1), filename="p")
    before = everything(service.vault)

    for name, body in {
        "six photos": named + photo * 6,
        "no photo": named,
        "21 consents": named * 21 + photo,
        "no consent": photo,
        "no id": part("consent_id", b"1; DROP TABLE grants") + photo,
        "perhaps": named + photo + part("keep_photos", b"perhaps"),
        "no capture": named + photo + part("capture_id", b"x"),
        "photos as text": named + part("photos", b"x"),
    }.items():
        assert (name, *slug(_form(person, body + END))) == (name, *INVALID)
    assert everything(service.vault) == before


def test_parameters_are_checked_and_unknown_ones_ignored(enrolled: Enrolled) -> None:
    service, person, party, _ = enrolled
    lists: list[tuple[Any, str]] = [
        (person, "/v1/me/comparisons"),
        (person, "/v1/me/consents"),
        (person, "/v1/me/tokens"),
        (person, "/v1/me/enrolments"),
        (party, "/v1/relying-party/subjects"),
        (service.client.request, "/v1/notices"),
        (service.client.request, "/v1/relying-parties"),
    ]
    wrong = ["limit=0", "limit=-1", "limit=1e9", "limit=abc", "limit=", "limit=201", "limit=%00", "limit=%ff"]

    for ask, path in lists:
        for query in [*wrong, "after=" + "9" * 100]:
            answer = ask("GET", f"{path}?{query}")

            assert (path, query, *slug(answer)) == (path, query, *INVALID)
            assert answer.json()["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"
        for query in ["limit=1", "limit=200", "unknown=1", "unknown=%ff&limit=1", "&&&=&"]:
            assert (path, query, ask("GET", f"{path}?{query}").status_code) == (path, query, 200)


def test_a_malformed_id_is_not_found(enrolled: Enrolled) -> None:
    _, person, _, _ = enrolled
    nothing = person("GET", f"/v1/me/photos/{uuid4()}")

    for wrong in ["x", "%ff", "0", "-1", "a" * 50_000, "null", "{}", "%7B0%7D", f"{uuid4()}%20"]:
        for method, path in [("DELETE", "/v1/me/consents"), ("GET", "/v1/me/photos"), ("GET", "/v1/erasures")]:
            answer = person(method, f"{path}/{wrong}")

            assert (answer.status_code, answer.content) == (404, nothing.content), (method, path, wrong[:20])


def test_a_body_that_the_route_does_not_read_is_ignored(enrolled: Enrolled) -> None:
    service, person, _, _ = enrolled

    answers = [
        person("GET", "/v1/me", content=b'{"subject_id": "other"}'),
        person("GET", "/v1/me", content=b"[" * NESTED),
        service.client.request("GET", "/livez", content=(b"x" * 100_000 for _ in range(20))),
        person("DELETE", f"/v1/me/tokens/{uuid4()}", content=bytes(100_000)),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 404]
    assert answers[0].json()["subject_id"] == person.subject_id


def test_a_body_over_its_limit_ends_the_request_and_not_the_connection(enrolled: Enrolled) -> None:
    service, person, _, _ = enrolled
    size = service.settings.max_body_bytes + 1
    sized = {**JSON, "Authorization": f"Bearer {person.token}", "Content-Length": str(size)}
    chunked = {**JSON, "Authorization": f"Bearer {person.token}", "Transfer-Encoding": "chunked"}
    next_request = head("GET", "/livez", {})

    with Connection(service.client) as connection:
        connection.send(head("POST", "/v1/me/consents", sized))
        early = connection.answers()
        connection.send(bytes(size), next_request)
        after = connection.answers()
        connection.send(head("POST", "/v1/me/consents", chunked))
        connection.send(*[b"100000\r\n" + bytes(1 << 20) + b"\r\n"] * 14, b"0\r\n\r\n")
        late = connection.answers()
        connection.send(next_request)
        after += connection.answers()

    assert [answer.status for answer in early + late] == [413, 413], "the sized one before its body arrived"
    assert {answer.headers["content-type"] for answer in early + late} == {"application/problem+json"}
    assert [answer.status for answer in after] == [200, 200]


def test_pipelined_requests_are_answered_in_order(enrolled: Enrolled) -> None:
    service, person, _, _ = enrolled
    body = b'{"display_name": "Piped"}'
    mine = {"Authorization": f"Bearer {person.token}"}
    length = {"Content-Length": str(len(body))}

    with Connection(service.client) as connection:
        connection.send(
            head("PATCH", "/v1/me", mine | JSON | length)
            + body
            + head("GET", "/v1/me", mine)
            + head("GET", "/v1/nowhere", {})
            + head("POST", "/v1/subjects", JSON | {"Content-Length": "1"})
            + b"["
            + head("GET", "/v1/me", {})
            + head("GET", "/livez", {})
        )
        answers = connection.answers(6)

    assert [answer.status for answer in answers] == [200, 200, 404, 422, 401, 200]
    assert answers[1].json()["display_name"] == "Piped"


@pytest.mark.parametrize(
    "framing",
    [
        {"Content-Length": "5", "Transfer-Encoding": "chunked"},
        {"Content-Length": "-1"},
        {"Content-Length": "five"},
        {"Content-Length": "9" * 30},
        {"Content-Length": "5, 6"},
        {"Transfer-Encoding": "gzip"},
    ],
    ids=str,
)
def test_a_request_with_an_ambiguous_end_ends_the_connection(service: RunningService, framing: dict[str, str]) -> None:
    """A proxy and this service must agree on the place where the next request begins."""
    smuggled = b"0\r\n\r\n" + head("GET", "/livez", {})

    with Connection(service.client) as connection:
        connection.send(head("POST", "/v1/subjects", JSON | framing) + smuggled)
        answer = connection.answers()[0]

        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
        assert connection.ended_after(b"\n") < 5
