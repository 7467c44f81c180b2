"""For the operator: metrics, request ids, rate limits, allowed origins, proxies, registration."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import Request
from prometheus_client.parser import text_string_to_metric_families
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from app.web.rate_limit import network_of
from tests.rest.conftest import slug
from tests.rest.raw_http import Connection, head
from tests.support.launcher import run_program
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until
from tests.test_roles import routes

Serve = Callable[..., AbstractContextManager[RunningService]]
ADULT = {"declared_adult": True}
TOO_MANY = (429, "too-many-attempts")
VARYING = {"date", "x-request-id"}
"""Headers that differ between two equal answers."""
ORIGIN, ELSEWHERE = "https://desk.example.org", "https://desk.example.org.evil.example"


@pytest.fixture
def serve(root: Path, pool: SharedPool) -> Serve:
    """Serve with the settings of a test."""
    return lambda **settings: serving(root, pool, toy_card(), **settings)


LABELS = {"method", "route", "status", "le", "engine", "weights", "in_force", "slug", "decision", "name"}


def series(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name and the labels of every metric."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels


@pytest.mark.parametrize(
    ("metrics", "headers", "status"),
    [
        ("off", {}, 404),
        ("local", {}, 200),
        ("local", {"X-Forwarded-For": "127.0.0.1"}, 404),
        ("local", {"Forwarded": "for=127.0.0.1"}, 404),
        ("local", {"X-Forwarded-For": ""}, 404),
        ("open", {}, 200),
        ("open", {"X-Forwarded-For": "192.0.2.1"}, 200),
    ],
)
def test_the_setting_decides_who_reads_metrics(
    serve: Serve, metrics: str, headers: dict[str, str], status: int
) -> None:
    with serve(metrics=metrics) as service:
        answer = service.client.get("/metrics", headers=headers)
        nothing = service.client.get("/nowhere")

    assert answer.status_code == status
    if status == 404:
        assert answer.content == nothing.content, "as if the address did not exist"
    else:
        assert answer.headers["content-type"].startswith("text/plain")
        assert "mien_engine_workers" in {name for name, _ in series(answer.text)}


def test_no_label_names_a_person_or_a_relying_party(service: RunningService) -> None:
    person, party, consent = service.enrolled()
    party.verify(consent["subject_ref"], toy_photo(1))
    person("GET", f"/v1/me/photos/{uuid4()}")
    person("GET", "/v1/me/comparisons?limit=1&canary=1")
    erased = person("DELETE", "/v1/me").json()["erasure_id"]
    service.client.get(f"/v1/erasures/{erased}")
    text = service.client.get("/metrics").text
    known = {route.path for route in routes(service)} | {"none"}

    for name, labels in series(text):
        assert labels.keys() <= LABELS, name
        assert labels.get("route", "none") in known
        assert labels.get("method", "GET") in {"GET", "POST", "DELETE"}
    of_one = {person.subject_id, person.token, party.id, party.key, erased, *map(str, consent.values()), "canary"}
    assert [one for one in of_one - {"None", "verification", "given"} if one in text] == []
    assert re.search(r'mien_requests_total{method="POST",route="/v1/verifications",status="200"} 1.0', text)


def test_unknown_addresses_and_methods_add_no_metrics(service: RunningService) -> None:
    def ask(number: int) -> None:
        service.client.get(f"/canary-{number}/{uuid4()}")
        service.client.get(f"/v1/notices/canary-{number}")
        for method in ("PROPFIND", "TRACE", "MKCOL", "LOCK"):
            service.client.request(method, f"/{uuid4()}")
            service.client.request(method, "/v1/me")
        with Connection(service.client) as connection:
            connection.send(head(f"CANARY{number}", "/livez", {}))
            assert connection.answers()[0].status == 400

    def seen() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        return {(name, tuple(sorted(labels.items()))) for name, labels in series(service.client.get("/metrics").text)}

    service.client.get("/metrics")
    ask(0)
    before = seen()
    for number in range(1, 10):
        ask(number)

    assert seen() == before
    assert not [labels for _, labels in before if "canary" in str(labels).lower()]


SENT_IDS = [
    "1b4e28ba2fa141d2883f0016d3cca427",
    "1b4e28ba-2fa1-41d2-883f-0016d3cca427",
    "0123456789ABCDEF",
    "ada@example.org",
    "12345",
    "0" * 65,
    "",
    "é" * 16,
]


def _requests(lines: Sequence[Any]) -> list[Any]:
    return [line for line in lines if line["event"] == "request"]


@pytest.mark.parametrize("sent", [*SENT_IDS, None])
def test_a_request_id_is_random_and_ours(service: RunningService, sent: str | None) -> None:
    headers = {} if sent is None else {"X-Request-Id": sent.encode()}

    with capture_logs(processors=[merge_contextvars]) as lines:
        answers = [service.client.get(path, headers=headers) for path in ("/livez", "/nowhere", "/v1/me")]  # type: ignore[arg-type]
        # A line is written after its answer was sent.
        wait_until(lambda: len(_requests(lines)) == len(answers))
    logged = [line["request_id"] for line in _requests(lines)]

    assert len(set(logged)) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in logged)
    assert [answer.headers.get_list("x-request-id") for answer in answers] == [[one] for one in logged]
    assert not sent or sent not in str(lines) + str([answer.headers for answer in answers])


def test_only_the_request_id_differs_between_refused_references(service: RunningService) -> None:
    _, party, _ = service.enrolled()
    answers = [party.verify(ref, toy_photo(1)) for ref in ("unknown", str(uuid4()), "unknown")]
    shown = [sorted((name, value) for name, value in one.headers.items() if name not in VARYING) for one in answers]

    assert shown[0] == shown[1] == shown[2]
    assert len({answer.content for answer in answers}) == 1


def test_every_answer_has_a_request_id(serve: Serve) -> None:
    """Answers of the application, of its middleware, and of the protocol below it."""
    with serve(cors_origins=ORIGIN) as service:
        person, client = service.person(), service.client
        large = bytes(service.settings.max_json_bytes + 1)
        answers = [
            client.get("/livez"),
            client.head("/v1/notices"),
            client.get("/docs"),
            client.get("/openapi.json"),
            client.get("/nowhere"),
            client.put("/livez"),
            client.request("PROPFIND", "/v1/me"),
            client.options("/v1/me"),
            client.get("/v1/me"),
            client.post("/v1/subjects", content=b"["),
            client.post("/v1/subjects", content=large, headers={"Content-Type": "application/json"}),
            person("DELETE", f"/v1/me/tokens/{person('POST', '/v1/me/tokens').json()['token_id']}"),
            person("GET", "/v1/me/export"),
            preflight(service, ORIGIN),
            preflight(service, ELSEWHERE),
        ]
        found = [(answer.status_code, answer.headers.get_list("x-request-id")) for answer in answers]
        for sent in (b"GARBAGE\r\n\r\n", head("POST", "/livez", {"Content-Length": "x"})):
            with Connection(client) as connection:
                connection.send(sent)
                malformed = connection.answers()[0]
            found.append((malformed.status, [malformed.headers["x-request-id"]]))

    assert [status for status, _ in found] == [
        *(200, 200, 200, 200, 404, 405, 405, 204, 401, 422, 413, 204, 200, 200, 400, 400, 400)
    ]
    ids = [one for _, given in found for one in given]
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert len(set(ids)) == len(found) == len(ids)


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENTS = {
    f"00-{TRACE}-{PARENT}-01": True,
    f"cc-{TRACE}-{PARENT}-00": True,
    f"cc-{TRACE}-{PARENT}-00-later": True,
    f"00-{TRACE}-{PARENT}-01-later": False,
    f"ff-{TRACE}-{PARENT}-01": False,
    f"00-{'0' * 32}-{PARENT}-01": False,
    f"00-{TRACE}-{'0' * 16}-01": False,
    f"00-{TRACE.upper()}-{PARENT}-01": False,
    f"00-{TRACE}-{PARENT}": False,
    f"{TRACE}": False,
    "ada@example.org": False,
    "": False,
}


@pytest.mark.parametrize("sent", TRACEPARENTS)
def test_digests_of_a_valid_traceparent_join_two_logs(service: RunningService, sent: str) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        answer = service.client.get("/v1/me", headers={"traceparent": sent})
        wait_until(lambda: _requests(lines))
        twice = [("traceparent", sent), ("traceparent", sent)]
        service.client.get("/v1/me", headers=twice)
        wait_until(lambda: len(_requests(lines)) == 2)
    first, second = _requests(lines)
    digests = {"trace_sha256": TRACE, "traceparent_sha256": sent} if TRACEPARENTS[sent] else {}

    assert {name: value for name, value in first.items() if "sha256" in name} == {
        name: hashlib.sha256(value.encode()).hexdigest() for name, value in digests.items()
    }
    assert not [name for name in second if "sha256" in name]
    assert answer.status_code == 401
    assert not sent or sent not in str(lines) + str(answer.headers)
    assert TRACE not in str(lines).lower()


def test_an_internal_error_is_answered_like_every_other(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged with its request id and status, counted, and readable for a page of an allowed origin."""

    def fault(*_: object, **__: object) -> None:
        raise ArithmeticError("canary")

    monkeypatch.setattr("app.subjects.service.read_display_name", fault)
    with serve(cors_origins=ORIGIN) as service:
        person = service.person()
        headers = {"X-Request-Id": "", "Authorization": f"Bearer {person.token}", "Origin": ORIGIN}
        with capture_logs(processors=[merge_contextvars]) as lines:
            answer = person.client.get("/v1/me", headers=headers)
            # A line is written after its answer was sent.
            wait_until(lambda: 500 in [line["status"] for line in _requests(lines)])
        text = service.client.get("/metrics").text

    assert slug(answer) == (500, "internal-error")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    # The line of the request before may come late.
    lines = [line for line in lines if line["request_id"] == answer.headers["x-request-id"]]
    assert {line["event"] for line in lines} == {"fault", "request"}
    assert [line["status"] for line in lines if line["event"] == "request"] == [500]
    assert {labels["status"] for _, labels in series(text) if "status" in labels} == {"201", "500"}
    assert "canary" not in answer.text + str(lines)


def test_registrations_from_one_address_are_limited_and_rights_are_not(serve: Serve) -> None:
    with serve(sign_ups_per_minute=3, recovery_failures_per_minute=2) as service:
        people = [service.person() for _ in range(3)]
        refused = service.client.post("/v1/subjects", json=ADULT)
        wrong = [service.client.post("/v1/recoveries", json={"recovery_code": f"mien_rec_{n}"}) for n in range(4)]
        right = service.client.post("/v1/recoveries", json={"recovery_code": people[0].recovery_code})
        still = service.client.post("/v1/recoveries", json={"recovery_code": "mien_rec_none"})
        rights = [people[1]("GET", f"/v1/me/{right}") for right in ["access", "export", "consents"] * 10]
        rights.append(people[1]("DELETE", "/v1/me"))

    assert slug(refused) == TOO_MANY
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert [slug(answer) for answer in wrong] == [(401, "unauthenticated")] * 2 + [TOO_MANY] * 2
    assert 1 <= int(wrong[-1].headers["retry-after"]) <= 60
    assert right.status_code == 201
    assert slug(still) == TOO_MANY
    assert {answer.status_code for answer in rights} == {200}


def test_an_invalid_registration_is_not_counted(serve: Serve) -> None:
    with serve(sign_ups_per_minute=1) as service:
        invalid = [service.client.post("/v1/subjects", json={}) for _ in range(5)]
        first = service.client.post("/v1/subjects", json=ADULT)

    assert {slug(answer) for answer in invalid} == {(422, "invalid-request")}
    assert first.status_code == 201


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:0::1", "2001:db8:0:1::1", False),
        ("2001:DB8::1", "2001:db8:0:0:0:0:0:1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("a unix socket", "another", False),
    ],
)
def test_addresses_are_one_network_or_two(one: str, other: str, *, same: bool) -> None:
    networks = [network_of(Request({"type": "http", "client": (host, 1)})) for host in (one, other)]

    assert (networks[0] == networks[1]) is same
    assert network_of(Request({"type": "http", "client": None})) == ""


def preflight(service: RunningService, origin: str, method: str = "DELETE") -> Any:
    """Send the request that a browser sends before it lets a page call."""
    wanted = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization"}
    return service.client.options("/v1/me", headers={"Origin": origin, **wanted})


def test_no_page_of_another_origin_may_call_by_default(service: RunningService) -> None:
    answer = service.client.get("/v1/notices", headers={"Origin": ORIGIN})

    assert [name for name in answer.headers if name.startswith("access-control")] == []
    answer = preflight(service, ORIGIN)
    assert (answer.status_code, answer.headers["allow"]) == (204, "DELETE, GET, HEAD, PATCH")
    assert [name for name in answer.headers if name.startswith("access-control")] == []


def test_only_pages_of_the_allowed_origins_may_call(serve: Serve) -> None:
    with serve(cors_origins=f"{ORIGIN}, https://other.example.org") as service:
        before = [preflight(service, ORIGIN, method) for method in ("GET", "POST", "PATCH", "PUT", "DELETE")]
        refused = [preflight(service, origin) for origin in (ELSEWHERE, "null", "http://desk.example.org")]
        answers = [
            service.client.get(path, headers={"Origin": ORIGIN}) for path in ("/v1/notices", "/v1/me", "/nowhere")
        ]
        foreign = service.client.get("/v1/notices", headers={"Origin": ELSEWHERE})

    for answer in [*before, *answers]:
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in answer.headers
        assert "origin" in answer.headers["vary"].lower()
    assert {answer.status_code for answer in before} == {200}
    assert all("access-control-allow-origin" not in answer.headers for answer in [*refused, foreign])
    assert {slug(answer) for answer in refused} == {(400, "invalid-request")}
    assert "QUERY" not in before[0].headers["access-control-allow-methods"]


def register_from(client: Any, *addresses: str) -> list[int]:
    """Register once through a proxy for each of these addresses; return the statuses."""
    return [
        client.post("/v1/subjects", json=ADULT, headers={"X-Forwarded-For": address}).status_code
        for address in addresses
    ]


@pytest.mark.parametrize(("trusted", "statuses"), [("", [201, 429, 429]), ("127.0.0.1", [201, 201, 429])])
def test_only_a_trusted_proxy_names_the_address_of_the_caller(root: Path, trusted: str, statuses: list[int]) -> None:
    settings = {"MIEN_SIGN_UPS_PER_MINUTE": "1", "FORWARDED_ALLOW_IPS": "*"}
    if trusted:
        settings["MIEN_TRUSTED_PROXIES"] = trusted

    with run_program(root, wait=False, **settings) as running:
        found = register_from(running.client, "192.0.2.1", "192.0.2.2", "192.0.2.1")

    assert found == statuses


def test_closed_registration_refuses_new_people_and_still_recovers_accounts(root: Path, serve: Serve) -> None:
    with serve() as service:
        person = service.person()

    with serve(registration="closed", sign_ups_per_minute=1) as service:
        refused = [service.client.post("/v1/subjects", json=ADULT) for _ in range(3)]
        back = service.client.post("/v1/recoveries", json={"recovery_code": person.recovery_code})

    assert {slug(answer) for answer in refused} == {(403, "forbidden")}
    assert "Ask the operator" in refused[0].json()["detail"]
    assert back.status_code == 201
