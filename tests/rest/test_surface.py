"""Rules for every address: HEAD, no cache, one token, JSON pointers, and the answer to malformed HTTP."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.web.callers import Role
from tests.rest.conftest import slug
from tests.rest.raw_http import JSON, Connection, head
from tests.support.service_fixture import Party, Person, RunningService, enrol
from tests.support.toy_faces import toy_photo
from tests.test_roles import Ada, RouteMethod, routes

VARYING = {"date", "x-request-id"}
"""Headers that differ between two answers to the same request."""


def stable_headers(answer: httpx.Response) -> dict[str, str]:
    """Return the headers that two equal answers share."""
    return {name: value for name, value in answer.headers.items() if name not in VARYING}


def callers(ada: Ada) -> dict[Role, Person | Party]:
    """Return the caller of each role; the person calls open routes."""
    return {Role.PERSON: ada.person, Role.RELYING_PARTY: ada.party, Role.OPEN: ada.person}


def test_head_is_get_without_the_body(service: RunningService) -> None:
    ada = Ada(service)
    public_ids = {
        "sha256": service.notice("verification"),
        "erasure_id": service.person()("DELETE", "/v1/me").json()["erasure_id"],
    }
    gets = [known for known in routes(service) if known.method == "GET"]

    for known in gets:
        for path in {known.at(**ada.ids, **public_ids), known.at()}:
            ask = callers(ada)[known.role]
            whole, only = ask("GET", path), ask("HEAD", path)

            assert (path, only.status_code, only.content) == (path, whole.status_code, b"")
            if known.path not in {"/v1/me/access", "/v1/me/export", "/metrics", "/readyz"}:
                assert stable_headers(only) == stable_headers(whole), path
            else:
                assert stable_headers(only).keys() | {"transfer-encoding"} == stable_headers(whole).keys() | {
                    "transfer-encoding"
                }
    assert len(gets) >= 18


def test_head_is_checked_and_refused_as_get(service: RunningService) -> None:
    person, party = service.person(), service.party()

    assert service.client.head("/v1/me").status_code == 401
    assert party("HEAD", "/v1/me").status_code == 403
    assert person("HEAD", "/v1/me/photos/x").status_code == 404
    assert person("HEAD", "/v1/me/comparisons?limit=0").status_code == 422
    refused = service.client.head("/v1/subjects")
    assert (refused.status_code, refused.headers["allow"], refused.content) == (405, "POST", b"")
    assert service.client.put("/v1/me").headers["allow"] == "DELETE, GET, HEAD, PATCH"
    for path in ("/docs", "/docs/start.js", "/openapi.json"):
        assert service.client.head(path).status_code == 200
        assert set(service.client.post(path).headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_a_connection_stays_usable_after_head(service: RunningService) -> None:
    token = {"Authorization": f"Bearer {service.person().token}"}
    with Connection(service.client) as connection:
        for path in ("/v1/me/export", "/livez", "/nowhere"):
            connection.send(head("HEAD", path, token), head("GET", "/livez", {}))
            pieces = b""
            while not pieces.endswith(b'{"status":"live"}'):
                pieces += connection.read()

            assert pieces.count(b"HTTP/1.1 ") == 2, path
            assert pieces.count(b"\r\n\r\n") == 2, path


def test_head_is_counted_by_its_route_and_is_not_in_the_openapi_document(service: RunningService) -> None:
    service.person()("HEAD", "/v1/me")
    described = service.client.get("/openapi.json").json()["paths"]

    assert 'mien_requests_total{method="HEAD",route="/v1/me",status="200"} 1.0' in service.client.get("/metrics").text
    assert not [path for path, methods in described.items() if "head" in methods]


def answers_of(service: RunningService, ada: Ada, known: RouteMethod) -> list[httpx.Response]:
    """Return the answers of one private address to requests that have different outcomes."""
    owner, other = callers(ada)[known.role], ada.party if known.role is Role.PERSON else ada.person
    paths = [known.at(), known.at(**ada.ids)]
    strange: dict[str, Any] = {"headers": {"Content-Type": "application/json"}, "content": b"["}
    return [
        service.client.request(known.method, paths[0]),
        service.client.request(known.method, paths[0], **strange),
        other(known.method, paths[0]),
        service.client.request("PROPFIND", paths[0]),
        *(owner(known.method, path) for path in paths),
        *(owner(known.method, f"{path}?limit=0&after=%00") for path in paths),
        owner(known.method, paths[0], content=b"["),
        owner(known.method, paths[0], content=bytes(service.settings.max_json_bytes + 1)),
    ]


def test_no_cache_stores_a_private_answer(service: RunningService) -> None:
    statuses: set[int] = set()
    private = [known for known in routes(service) if known.role is not Role.OPEN]

    reader = Ada(service, at="Reading room")
    for number, known in enumerate(private):
        ada = reader if known.method == "GET" else Ada(service, at=f"Door {number}")
        for answer in answers_of(service, ada, known):
            statuses.add(answer.status_code)

            assert answer.headers.get("cache-control") == "no-store", (known, answer.status_code)
    ada = Ada(service)
    kept = [
        service.person()("POST", "/v1/me/tokens"),
        ada.person("PATCH", "/v1/me", json={"display_name": "Ada"}),
        enrol(ada.person, [ada.ids["consent_id"]], [toy_photo(1)]),
        ada.party.verify(ada.consent["subject_ref"], toy_photo(1)),
        ada.party.verify(ada.consent["subject_ref"], b"x"),
        ada.person("DELETE", f"/v1/me/tokens/{ada.ids['token_id']}"),
    ]
    assert {answer.headers.get("cache-control") for answer in kept} == {"no-store"}
    assert [answer.status_code for answer in kept] == [201, 200, 201, 200, 415, 204]
    assert statuses >= {200, 204, 401, 403, 404, 405, 422}


@pytest.mark.parametrize("second", ["the same", "another person's", "none", "garbage", ""])
def test_two_tokens_are_refused(service: RunningService, second: str) -> None:
    person = service.person()
    mine = f"Bearer {person.token}"
    other = {"the same": mine, "another person's": f"Bearer {service.person().token}", "none": "Bearer mien_sub_none"}
    given = [("Authorization", mine), ("Authorization", other.get(second, second))]

    for headers in (given, given[::-1]):
        assert slug(service.client.get("/v1/me", headers=headers)) == (400, "invalid-request")
    assert person("GET", "/v1/me").status_code == 200


@pytest.mark.parametrize(
    ("name", "pointer"), [("a/b", "/a~1b"), ("a~b", "/a~0b"), ("~1", "/~01"), ("/", "/~1"), ("", "/"), ("é", "/é")]
)
def test_a_json_pointer_is_escaped(service: RunningService, name: str, pointer: str) -> None:
    answer = service.client.post("/v1/subjects", json={"declared_adult": True, name: 1})

    assert slug(answer) == (422, "invalid-request")
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


MALFORMED = {
    "garbage": b"GARBAGE\r\n\r\n",
    "bytes": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no such version": b"GET /livez HTTP/9.9\r\n\r\n",
    "no such method": b"CANARY /livez HTTP/1.1\r\n\r\n",
    "an invalid length": head("POST", "/v1/subjects", JSON | {"Content-Length": "canary"}),
    "two lengths": head("POST", "/v1/subjects", JSON | {"Content-Length": "5", "content-length": "6"}),
    "an invalid header": b"GET /livez HTTP/1.1\r\nHost: mien\r\nca nary: 1\r\n\r\n",
    "an invalid chunk": head("POST", "/v1/subjects", JSON | {"Transfer-Encoding": "chunked"}) + b"canary\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_http_gets_a_problem_and_ends_the_connection(service: RunningService, name: str) -> None:
    with Connection(service.client) as connection:
        connection.send(MALFORMED[name])
        answer = connection.answers()[0]
        problem = answer.json()

        assert (answer.status, problem["status"], problem["type"]) == (400, 400, "urn:mien:problem:invalid-request")
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert (answer.headers["connection"].lower(), answer.headers["cache-control"]) == ("close", "no-store")
        assert [one["pointer"] for one in problem["errors"]] == [""]
        assert "canary" not in json.dumps(problem)
        assert connection.ended_after(b"\n") < 5


def test_malformed_http_is_not_answered_before_the_earlier_request(service: RunningService) -> None:
    """A proxy would take the first answer for the answer to the first request."""
    with Connection(service.client) as connection:
        connection.send(head("GET", f"/v1/erasures/{uuid4()}", {}) + b"GARBAGE\r\n\r\n")

        assert [answer.status for answer in connection.answers(2)] == [404, 400]
