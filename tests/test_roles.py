"""Every route has a role, and refuses callers of another role. The routes are read from the application."""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from app.main import create_app
from app.parties import queries
from app.parties import service as parties
from app.web.auth import OpenRoute, PartyRoute, PersonRoute
from app.web.callers import Role
from tests.consent.spies import count_recorded_refusals, everything
from tests.support.service_fixture import Party, Person, RunningService, enrol
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

FRAMEWORK = {"/openapi.json", "/docs", "/docs/{name}"}
"""Addresses of the API page, which read no data."""
VALID_BODIES = {"/v1/me/consents/{consent_id}/renewal": {"json": {"notice_sha256": "0" * 64}}}
"""Valid bodies for routes of a person that need one."""
ROLES = (OpenRoute, PersonRoute, PartyRoute)


@dataclass(frozen=True)
class RouteMethod:
    """One method of one route."""

    method: str
    path: str
    role: Role

    def at(self, **ids: str) -> str:
        """Return the path with these ids, and random ones for the others."""
        return re.sub(r"{(\w+)}", lambda found: ids.get(found[1], str(uuid4())), self.path)


def without_role(app: FastAPI) -> list[str]:
    """Return the paths in *app* that have no role."""
    return [
        str(context.path)
        for context in iter_route_contexts(app.routes)
        if not isinstance(context.original_route, ROLES) and context.path not in FRAMEWORK
    ]


def routes(service: RunningService) -> Iterator[RouteMethod]:
    """Yield every method of every route."""
    app = create_app(service.settings, service.vault, (service.pool, toy_card()), clock=service.clock)
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, ROLES):
            for method in sorted(context.methods or ()):
                yield RouteMethod(method, str(context.path), route.role)


def test_every_route_has_a_role(service: RunningService) -> None:
    app = create_app(service.settings, service.vault, (service.pool, toy_card()))

    assert without_role(app) == []
    assert len(list(routes(service))) >= 25, "the routes are found"
    assert {known.role for known in routes(service)} == set(Role)


def test_a_route_without_a_role_is_found() -> None:
    app, inner = FastAPI(docs_url=None, redoc_url=None), APIRouter(prefix="/inner")
    outer = APIRouter(prefix="/outer", route_class=PersonRoute)
    for router in (app, inner, outer):
        router.add_api_route("/no-role", lambda: None, methods=["GET"])
    inner.add_api_route("/open", lambda: None, methods=["GET"], route_class_override=OpenRoute)
    outer.include_router(inner)
    app.include_router(outer)
    app.mount("/mounted", FastAPI())
    app.add_route("/plain", lambda _: None)  # type: ignore[arg-type, return-value]
    app.add_api_websocket_route("/socket", lambda: None)

    found = without_role(app)

    assert sorted(found) == ["/mounted", "/no-role", "/outer/inner/no-role", "/plain", "/socket"]


def test_a_plain_route_has_no_role() -> None:
    app = FastAPI(docs_url=None, redoc_url=None)
    app.router.routes.append(APIRoute("/bare", lambda: None))

    assert without_role(app) == ["/bare"]


@dataclass
class Tokens:
    """Every kind of token that a caller may send."""

    of_person: dict[str, str]
    of_party: dict[str, str]
    invalid: dict[str, str | None]


@pytest.fixture
def tokens(service: RunningService) -> Tokens:
    """One token of each kind."""
    person, revoked, erased = service.person(), service.person(), service.person()
    mine = revoked("GET", "/v1/me/tokens").json()["items"][0]["token_id"]
    assert revoked("DELETE", f"/v1/me/tokens/{mine}").status_code == 204
    assert erased("DELETE", "/v1/me").status_code == 200
    recovered = service.person()
    assert service.client.post("/v1/recoveries", json={"recovery_code": recovered.recovery_code}).status_code == 201
    door, rotated, ended = service.party("Door"), service.party("Gate"), service.party("Shop")
    ids = {str(party.relying_party_id): party.relying_party_id for party in _parties(service)}
    parties.rotate_key(service.vault, party_id=ids[rotated.id], settings=service.settings, now=service.clock())
    parties.revoke(service.vault, party_id=ids[ended.id], now=service.clock())
    return Tokens(
        of_person={"person": f"Bearer {person.token}", "lower case scheme": f"bearer {person.token}"},
        of_party={"party": f"Bearer {door.key}"},
        invalid={
            "none": None,
            "empty": "",
            "scheme only": "Bearer",
            "garbage": "Bearer garbage",
            "garbage like a person's": "Bearer mien_sub_garbage",
            "garbage like a party's": "Bearer mien_rp_garbage",
            "no ASCII": "Bearer mien_sub_\xe9",
            "another scheme": f"Basic {person.token}",
            "no scheme": person.token,
            "a recovery code": f"Bearer {person.recovery_code}",
            "a recovery code as a person's": "Bearer mien_sub_" + person.recovery_code.removeprefix("mien_rec_"),
            "a person's as a party's": "Bearer mien_rp_" + person.token.removeprefix("mien_sub_"),
            "revoked": f"Bearer {revoked.token}",
            "erased": f"Bearer {erased.token}",
            "recovered": f"Bearer {recovered.token}",
            "a rotated key": f"Bearer {rotated.key}",
            "a revoked party's": f"Bearer {ended.key}",
        },
    )


def _parties(service: RunningService) -> Any:
    with service.vault.data.read() as session:
        return queries.list_active(session, limit=100, after=None)


def _request(service: RunningService, known: RouteMethod, authorization: str | None) -> tuple[int, str]:
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    answer = service.client.request(known.method, known.at(), headers=headers)  # type: ignore[arg-type]
    return answer.status_code, answer.headers.get("www-authenticate", "")


def test_no_route_is_open_to_an_invalid_token(service: RunningService, tokens: Tokens) -> None:
    closed = [known for known in routes(service) if known.role is not Role.OPEN]
    before = everything(service.vault)

    wrong = [
        (known, name)
        for known in closed
        for name, token in tokens.invalid.items()
        if _request(service, known, token) != (401, "Bearer")
    ]

    assert wrong == []
    assert everything(service.vault) == before


def test_no_route_is_open_to_the_other_role(service: RunningService, tokens: Tokens) -> None:
    others = {Role.PERSON: tokens.of_party, Role.RELYING_PARTY: tokens.of_person, Role.OPEN: {}}
    before = everything(service.vault)

    wrong = [
        (known, name)
        for known in routes(service)
        for name, token in others[known.role].items()
        if _request(service, known, token)[0] != 403
    ]

    assert wrong == []
    assert everything(service.vault) == before


def test_every_route_is_open_to_its_own_role(service: RunningService, tokens: Tokens) -> None:
    wrong = []
    for known in routes(service):
        mine = {"fresh": f"Bearer {service.person().token}"} if known.role is Role.PERSON else tokens.of_party
        all_tokens = tokens.invalid | tokens.of_person | tokens.of_party
        for name, token in (all_tokens if known.role is Role.OPEN else mine).items():
            if (status := _request(service, known, token)[0]) in {401, 403, 405, 500}:
                wrong.append((known, name, status))

    assert wrong == []


class Ada:
    """A person with data of every kind; `ids` has the ids by their names in paths."""

    def __init__(self, service: RunningService, *, at: str = "Door") -> None:
        self.person = service.person()
        self.party = service.party(at)
        self.consent = service.consent(self.person, self.party)
        service.consent(self.person, None, "template_renewal")
        answer = enrol(self.person, [self.consent["consent_id"]], [toy_photo(1)], keep_photos="true")
        verified = self.party.verify(self.consent["subject_ref"], toy_photo(1)).json()
        self.ids = {
            "comparison_id": verified["comparison_id"],
            "consent_id": self.consent["consent_id"],
            "enrolment_id": answer.json()["enrolment_id"],
            "photo_id": self.person("GET", "/v1/me/enrolments").json()["items"][0]["photo_ids"][0],
            "token_id": self.person("GET", "/v1/me/tokens").json()["items"][0]["token_id"],
        }


def _people(service: RunningService) -> tuple[Ada, Person, Party]:
    ada = Ada(service)
    mallory, gate = service.person("Mallory"), service.party("Gate")
    service.consent(mallory, gate)
    return ada, mallory, gate


def test_another_persons_ids_are_not_found(service: RunningService) -> None:
    ada, mallory, _ = _people(service)
    addressed = [known for known in routes(service) if known.role is Role.PERSON and "{" in known.path]
    before = everything(service.vault)

    for known in addressed:
        names = set(re.findall(r"{(\w+)}", known.path))
        assert names <= ada.ids.keys(), f"add {names - ada.ids.keys()} of another person to this test"
        body = VALID_BODIES.get(known.path, {})
        theirs = mallory(known.method, known.at(**ada.ids), **body)
        unknown = mallory(known.method, known.at(), **body)

        assert (theirs.status_code, theirs.content) == (404, unknown.content), known

    assert len(addressed) >= 4
    assert everything(service.vault) == before
    assert enrol(mallory, [ada.ids["consent_id"]], [toy_photo(1)]).status_code == 403
    assert count_recorded_refusals(before, everything(service.vault)) == 1, "only the refusal"
    own = [ada.person(known.method, known.at(**ada.ids)).status_code for known in addressed if known.method == "GET"]
    assert set(own) == {200}, "the owner finds them"


def test_a_malformed_id_in_a_path_is_not_found(service: RunningService) -> None:
    person, party = service.person(), service.party()

    for known in routes(service):
        if "{" in known.path:
            who = party if known.role is Role.RELYING_PARTY else person
            path = re.sub(r"{\w+}", "no-id", known.path)

            assert who(known.method, path).status_code == 404, known


def test_the_lists_of_a_person_have_no_data_of_another(service: RunningService) -> None:
    ada, mallory, gate = _people(service)
    hers = {*ada.ids.values(), ada.person.subject_id, ada.consent["subject_ref"], "Ada Canary"}
    lists = [known for known in routes(service) if known.method == "GET" and "{" not in known.path]
    seen = set()

    for known in lists:
        caller: Person | Party = gate if known.role is Role.RELYING_PARTY else mallory
        text = caller("GET", known.path).text
        found = {one for one in hers if one in text}
        seen |= {one for one in hers if one in ada.person("GET", known.path).text}

        assert found == set(), known

    assert seen == hers, "the owner sees all of it"


BODIES = [
    ("/v1/me/consents", "application/json"),
    ("/v1/me/enrolments", "multipart/form-data; boundary=x"),
    ("/v1/verifications", "multipart/form-data; boundary=x"),
]


@pytest.mark.parametrize(("path", "kind"), BODIES)
def test_the_token_is_checked_before_the_body_is_read(service: RunningService, path: str, kind: str) -> None:
    wrong_role = service.person().token if path == "/v1/verifications" else service.party().key
    framings = [("Content-Length: 200000", b"--x\r\n"), ("Transfer-Encoding: chunked", b"5\r\n--x\r\n\r\n")]

    for framing, begun in framings:
        for authorization, status in [
            ("X-None: at all", 401),
            ("Authorization: Bearer mien_sub_none", 401),
            (f"Authorization: Bearer {wrong_role}", 403),
        ]:
            lines = [f"POST {path} HTTP/1.1", "Host: mien", f"Content-Type: {kind}", framing, authorization, "", ""]
            with socket.create_connection(_address(service), timeout=5) as connection:
                connection.sendall("\r\n".join(lines).encode() + begun)
                head = connection.recv(65536)

            assert head.startswith(f"HTTP/1.1 {status}".encode()), (framing, authorization)
            assert b"application/problem+json" in head


def _address(service: RunningService) -> tuple[str, int]:
    return service.client.base_url.host, service.client.base_url.port or 80
