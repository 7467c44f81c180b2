"""Requests that take their time, and too many at once. The real program, and its protocol by itself."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from select import select
from threading import Thread
from typing import Any

import httpx
import pytest
import uvicorn

from app.web.http_protocol import MAX_HEADER_BYTES, DeadlineProtocol
from tests.rest.conftest import slug
from tests.rest.raw_http import END, FORM, JSON, Connection, head, part
from tests.support.launcher import Program, run_program
from tests.support.service_fixture import RunningService, SharedPool, copied, serving
from tests.support.toy_engine import toy_card
from tests.test_shutdown import face

MIB = 1 << 20
SOON_S = 6
"""Seconds by which a short deadline has passed, on a machine that does other work too."""


@pytest.fixture(scope="module")
def served(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program, with little patience."""
    root = copied(prepared, tmp_path_factory.mktemp("served") / "service")
    with run_program(root, MIEN_HEADERS_TIMEOUT_S="0.6", MIEN_BODY_TIMEOUT_S="0.6") as running:
        yield running


def test_a_head_that_comes_too_slowly_ends_the_connection(served: Program) -> None:
    for begun in (b"GET /", b"GET /livez HTTP/1.1\r\nHost: mien\r\nX: "):
        with Connection(served.client) as connection:
            connection.send(begun)

            assert 0.3 < connection.ended_after(b"a") < SOON_S, begun


def test_a_connection_that_says_nothing_is_ended(served: Program) -> None:
    with Connection(served.client) as connection:
        assert 0.3 < connection.ended_after() < SOON_S


def test_a_head_that_comes_too_slowly_on_a_connection_in_use_ends_it_too(served: Program) -> None:
    with Connection(served.client) as connection:
        connection.send(head("GET", "/livez", {}))
        first = connection.answers()

        assert first[0].status == 200
        assert connection.ended_after(b"GET /livez HTTP/1.1\r\nX: ") < SOON_S


def test_a_head_without_end_ends_the_connection(served: Program) -> None:
    with Connection(served.client) as connection:
        connection.send(b"GET /livez HTTP/1.1\r\nX: " + b"a" * (MAX_HEADER_BYTES + 1))

        assert connection.ended_after(b"a") < 1


def test_what_comes_after_an_answer_has_the_time_of_a_body(served: Program) -> None:
    with Connection(served.client) as connection:
        connection.send(head("POST", "/v1/me/consents", JSON | {"Content-Length": "1000"}))
        status = connection.answers()[0].status

        assert status == 401
        assert 0.3 < connection.ended_after(b"1") < SOON_S


@pytest.mark.parametrize("framing", [{"Content-Length": "1000"}, {"Transfer-Encoding": "chunked"}], ids=str)
def test_a_body_that_comes_too_slowly_is_a_timeout(served: Program, framing: dict[str, str]) -> None:
    with Connection(served.client) as connection:
        connection.send(head("POST", "/v1/subjects", JSON | framing), b"1")
        answer = connection.answers()[0]
        ended = connection.ended_after(b"1")

    assert (answer.status, answer.json()["type"]) == (408, "urn:mien:problem:request-timeout")
    assert (answer.headers["content-type"], answer.headers["connection"]) == ("application/problem+json", "close")
    assert ended < 1


def test_a_photo_that_comes_too_slowly_is_a_timeout_too(served: Program) -> None:
    token = served.client.post("/v1/subjects", json={"declared_adult": True}).json()["access_token"]
    told = {**FORM, "Authorization": f"Bearer {token}", "Content-Length": "100000"}

    with Connection(served.client) as connection:
        connection.send(head("POST", "/v1/me/enrolments", told), part("photos", face("emo_happy"), filename="p")[:5000])
        answer = connection.answers()[0]

    assert (answer.status, answer.json()["type"]) == (408, "urn:mien:problem:request-timeout")


@pytest.fixture
def narrow(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A service with as little memory for bodies as may be set."""
    with serving(root, pool, toy_card(), bodies_memory_mib=64) as service:
        yield service


def test_of_bodies_that_would_fill_the_memory_one_is_turned_away_and_then_taken_again(narrow: RunningService) -> None:
    person = narrow.person()
    bearer = {"Authorization": f"Bearer {person.token}"}
    body = part("photos", bytes(25 * MIB), filename="p") + END
    told = head("POST", "/v1/me/enrolments", FORM | bearer | {"Content-Length": str(len(body))})

    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(narrow.client)) for _ in range(3)]
        senders = [Thread(target=connection.send, args=(told, body[:-1])) for connection in connections]
        for sender in senders:
            sender.start()
        answered = select(connections, [], [], 20)[0]
        busy = answered[0].answers()[0]
        rights = person("GET", "/v1/me/access")
        for sender in senders:
            sender.join()
        waiting = [connection for connection in connections if connection not in answered]
        for connection in connections:
            connection.send(body[-1:])
        others = [connection.answers()[0] for connection in waiting]
    again = narrow.client.post("/v1/me/enrolments", content=body, headers=FORM | bearer)

    assert (busy.status, busy.json()["type"], busy.headers["retry-after"]) == (503, "urn:mien:problem:busy", "5")
    assert rights.status_code == 200
    assert [answer.status for answer in others] == [422, 422], "taken whole: they only lack a consent"
    assert slug(again) == (422, "invalid-request")


def test_what_libraries_say_of_a_request_is_json_and_repeats_nothing(served: Program) -> None:
    token = served.client.post("/v1/subjects", json={"declared_adult": True}).json()["access_token"]
    wrong = b"--x\nContent-Disposition: form-data; canary\r\n\r\n--y"
    answer = served.client.post("/v1/me/enrolments", content=wrong, headers=FORM | {"Authorization": f"Bearer {token}"})
    lines = [json.loads(line) for line in served.log().splitlines()]

    assert slug(answer) == (422, "invalid-request")
    assert {line["logger"] for line in lines if line["event"] == "library"} >= {"python_multipart.multipart"}
    assert "canary" not in served.log()


class Hasty(DeadlineProtocol):
    """The protocol with little patience for what comes after an answer."""

    headers_s = 0.6
    rest_s = 0.6


async def _turned_away(scope: Any, receive: Any, send: Any) -> None:
    """Answer without reading the body, as for a wrong token."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


@pytest.fixture(scope="module")
def hasty() -> Iterator[httpx.Client]:
    """A server of nothing but this protocol."""
    config = uvicorn.Config(_turned_away, port=0, http=Hasty, lifespan="off", log_config=None, timeout_keep_alive=60)
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client
    server.should_exit = True
    thread.join()


@pytest.mark.service
@pytest.mark.parametrize("dripped", [b"1", b"\r\n" * 500], ids=["the rest of a body", "empty lines"])
def test_what_drips_in_after_an_answer_does_not_keep_the_connection(hasty: httpx.Client, dripped: bytes) -> None:
    length = {"Content-Length": "1000" if dripped == b"1" else "0"}

    with Connection(hasty) as connection:
        connection.send(head("POST", "/", length))
        status = connection.answers()[0].status

        assert status == 401
        assert 0.3 < connection.ended_after(dripped) < SOON_S


@pytest.mark.service
def test_the_rest_of_a_body_in_time_leaves_the_connection_for_the_next(hasty: httpx.Client) -> None:
    with Connection(hasty) as connection:
        for _ in range(3):
            connection.send(head("POST", "/", {"Content-Length": "200000"}))
            connection.answers()
            connection.send(bytes(200_000))
            time.sleep(0.3)
        connection.send(head("GET", "/", {}))

        assert connection.answers()[0].status == 401
