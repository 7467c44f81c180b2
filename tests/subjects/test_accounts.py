"""Registration, tokens, recovery and the display name."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.vault.tables import EndedKind
from tests.consent.spies import count, everything
from tests.support.register_queries import tombstones
from tests.support.service_fixture import Person, RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card

CANARY = "canary-7f3a"


def register(service: RunningService, **body: object) -> httpx.Response:
    """Register with this body."""
    return service.client.post("/v1/subjects", json=body)


def opens_account(service: RunningService, token: str) -> bool:
    """Return whether a token opens its account."""
    status = service.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code
    assert status in {200, 401}
    return status == 200


def list_tokens(person: Person) -> list[dict[str, Any]]:
    """List the person's tokens."""
    items: list[dict[str, Any]] = person("GET", "/v1/me/tokens").json()["items"]
    return items


def test_registration_needs_only_the_declaration(service: RunningService) -> None:
    answer = register(service, declared_adult=True)

    given = answer.json()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert set(given) == {"subject_id", "access_token", "recovery_code"}
    assert given["access_token"].startswith("mien_sub_")
    me = service.client.get("/v1/me", headers={"Authorization": f"Bearer {given['access_token']}"}).json()
    assert me == {
        "subject_id": given["subject_id"],
        "display_name": None,
        "registered_on": service.clock().date().isoformat(),
        "restricted": False,
        "renewals_due": [],
    }


FAULTS: list[tuple[object, list[str]]] = [
    ({}, ["/declared_adult"]),
    ({"declared_adult": False}, ["/declared_adult"]),
    ({"declared_adult": "true"}, ["/declared_adult"]),
    ({"declared_adult": None}, ["/declared_adult"]),
    ({"declared_adult": CANARY}, ["/declared_adult"]),
    ({"declared_adult": True, "display_name": ""}, ["/display_name"]),
    ({"declared_adult": True, "display_name": CANARY * 20}, ["/display_name"]),
    ({"declared_adult": True, "display_name": [CANARY]}, ["/display_name"]),
    ({"declared_adult": True, "email": f"{CANARY}@example.org"}, ["/email"]),
    ({"declared_adult": True, "password": CANARY}, ["/password"]),
    ({"display_name": {"first": CANARY}, "age": CANARY}, ["/age", "/declared_adult", "/display_name"]),
    ([CANARY], [""]),
    (CANARY, [""]),
    (None, [""]),
]


def test_a_faulty_registration_names_the_fields_and_repeats_no_value(service: RunningService) -> None:
    for body, pointers in FAULTS:
        answer = service.client.post("/v1/subjects", json=body)

        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (422, "urn:mien:problem:invalid-request"), body
        assert answer.headers["content-type"] == "application/problem+json"
        assert sorted(error["pointer"] for error in problem["errors"]) == pointers, body
        assert all(set(error) == {"pointer", "detail"} and error["detail"] for error in problem["errors"])
        assert CANARY not in answer.text
        assert count(service.vault, "subjects") == 0


MALFORMED_BODIES = {
    "empty": b"",
    "cut": b"{",
    "not UTF-8": b"\xff",
    "deep": b"[" * 100_000,
    "half a character": b'{"declared_adult": true, "display_name": "\\ud800"}',
    "cut in a value": b'{"declared_adult": true, "display_name": "' + CANARY.encode(),
}


def test_a_body_that_is_not_json_is_refused(service: RunningService) -> None:
    for name, body in MALFORMED_BODIES.items():
        answer = service.client.post("/v1/subjects", content=body, headers={"Content-Type": "application/json"})

        assert (answer.status_code, answer.json()["type"]) == (422, "urn:mien:problem:invalid-request"), name
        assert CANARY not in answer.text
        assert count(service.vault, "subjects") == 0


def test_a_malformed_recovery_code_is_refused(service: RunningService) -> None:
    for code in (b'"\\ud800"', b"1", b"null", b"[]", b'"\\u0000"', b'""'):
        body = b'{"recovery_code": ' + code + b"}"
        answer = service.client.post("/v1/recoveries", content=body, headers={"Content-Type": "application/json"})

        assert answer.status_code in {401, 422}, code


def test_registration_can_be_closed(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), registration="closed") as service:
        answer = register(service, declared_adult=True)

        assert (answer.status_code, answer.json()["type"]) == (403, "urn:mien:problem:forbidden")
        assert count(service.vault, "subjects") == 0


def test_a_person_adds_and_ends_tokens(service: RunningService) -> None:
    person, other = service.person(), service.person()
    (first,) = list_tokens(person)

    added = person("POST", "/v1/me/tokens")
    both = list_tokens(person)
    ended = person("DELETE", f"/v1/me/tokens/{first['token_id']}")

    assert added.status_code == 201
    assert set(added.json()) == {"token_id", "access_token"}
    assert first["current"]
    assert {one["token_id"]: one["current"] for one in both} == {
        first["token_id"]: True,
        added.json()["token_id"]: False,
    }
    assert ended.status_code == 204
    assert not opens_account(service, person.token), "also the token of the request"
    person.token = added.json()["access_token"]
    assert [one["current"] for one in list_tokens(person)] == [True]
    assert opens_account(service, other.token)
    assert tombstones(service.vault.register, EndedKind.TOKEN).keys(), "a restored backup does not bring it back"


def test_a_recovery_code_is_not_listed_and_cannot_be_ended(service: RunningService) -> None:
    person = service.person()
    all_tokens = everything(service.vault)["mien.tokens"]
    (access,) = list_tokens(person)
    others = [UUID(row[0]) for row in all_tokens if UUID(row[0]) != UUID(access["token_id"])]

    answers = [person("DELETE", f"/v1/me/tokens/{token_id}") for token_id in [*others, uuid4()]]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert everything(service.vault)["mien.tokens"] == all_tokens


def test_recovery_ends_every_older_token_and_the_code(service: RunningService) -> None:
    person, other = service.person("Ada"), service.person()
    second = person("POST", "/v1/me/tokens").json()["access_token"]

    answer = service.client.post("/v1/recoveries", json={"recovery_code": person.recovery_code})
    again = service.client.post("/v1/recoveries", json={"recovery_code": person.recovery_code})

    given = answer.json()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert given["subject_id"] == person.subject_id
    assert (again.status_code, again.json()["type"]) == (401, "urn:mien:problem:unauthenticated")
    assert [opens_account(service, token) for token in (person.token, second)] == [False, False]
    assert opens_account(service, given["access_token"])
    assert opens_account(service, other.token)
    person.token = given["access_token"]
    assert person("GET", "/v1/me").json()["display_name"] == "Ada", "the data stay"
    assert service.client.post("/v1/recoveries", json={"recovery_code": given["recovery_code"]}).status_code == 201


def test_only_a_recovery_code_recovers(service: RunningService) -> None:
    person = service.person()
    before = everything(service.vault)

    for code in (person.token, "mien_rec_", "", person.recovery_code[:-1], person.recovery_code + "."):
        assert service.client.post("/v1/recoveries", json={"recovery_code": code}).status_code == 401, code

    assert everything(service.vault) == before
    person("DELETE", "/v1/me")
    erased = service.client.post("/v1/recoveries", json={"recovery_code": person.recovery_code})
    assert erased.status_code == 401, "the code of an erased person is unknown"


def test_a_display_name_can_be_corrected_and_removed(service: RunningService) -> None:
    person, other = service.person("Ada"), service.person("Grace")
    names = ["Ada L\N{LATIN SMALL LETTER O WITH DIAERESIS}velace \N{FACE WITH OK GESTURE}", "x" * 200, None, "Ada"]

    for name in names:
        answer = person("PATCH", "/v1/me", json={"display_name": name})

        account = answer.json()
        assert (answer.status_code, account["display_name"]) == (200, name)
        assert account.pop("receipt")["jws"]
        assert person("GET", "/v1/me").json() == {**account, "renewals_due": []}

    assert other("GET", "/v1/me").json()["display_name"] == "Grace"
    for wrong in (
        {},
        {"display_name": ""},
        {"display_name": "x" * 201},
        {"display_name": "A\0"},
        {"subject_id": str(uuid4())},
    ):
        assert person("PATCH", "/v1/me", json=wrong).status_code == 422
    assert person("GET", "/v1/me").json()["display_name"] == "Ada"


def test_no_file_contains_a_display_name_in_readable_form(service: RunningService) -> None:
    person = service.person("Ada Canary-9b1c")
    person("PATCH", "/v1/me", json={"display_name": "Zoe Canary-77d0"})

    found = {
        path.name for path, content in service.files() for name in (b"Canary-9b1c", b"Canary-77d0") if name in content
    }
    with_id = {path.name for path, content in service.files() if UUID(person.subject_id).hex.encode() in content}

    assert found == set()
    assert with_id, "the search finds bytes that are there"


def test_tokens_of_one_person_have_a_limit_and_ending_one_makes_room(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.subjects.service.MAX_TOKENS", 3)
    person = service.person()
    added = [person("POST", "/v1/me/tokens") for _ in range(3)]
    ended = person("DELETE", f"/v1/me/tokens/{added[0].json()['token_id']}")
    again = person("POST", "/v1/me/tokens")

    assert [answer.status_code for answer in added] == [201, 201, 409]
    assert added[-1].json()["type"].endswith(":too-many-tokens")
    assert (ended.status_code, again.status_code) == (204, 201)
