"""Slow requests, and too many at once: with the real program, and with its protocol alone."""

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

from app.web.connections import ConnectionLimits
from app.web.message_framing import MAX_HEADER_BYTES
from tests.rest.conftest import slug
from tests.rest.raw_http import END, FORM, JSON, Connection, head, part
from tests.support.launcher import Program, run_program
from tests.support.service_fixture import RunningService, SharedPool, copied, listening, serving
from tests.support.toy_engine import toy_card
from tests.test_shutdown import face

MIB = 1 << 20
SOON_S = 6
"""Seconds until a short deadline has certainly passed, also on a busy machine."""


@pytest.fixture(scope="module")
def served(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program, with short deadlines."""
    root = copied(prepared, tmp_path_factory.mktemp("served") / "service")
    with run_program(root, MIEN_HEADERS_TIMEOUT_S="0.6", MIEN_BODY_TIMEOUT_S="0.6") as running:
        yield running


def test_slow_headers_end_the_connection(served: Program) -> None:
    for begun in (b"GET /", b"GET /livez HTTP/1.1\r\nHost: mien\r\nX: "):
        with Connection(served.client) as connection:
            connection.send(begun)

            assert 0.3 < connection.ended_after(b"a") < SOON_S, begun


def test_a_silent_connection_is_ended(served: Program) -> None:
    with Connection(served.client) as connection:
        assert 0.3 < connection.ended_after() < SOON_S


def test_slow_headers_of_a_second_request_end_the_connection(served: Program) -> None:
    with Connection(served.client) as connection:
        connection.send(head("GET", "/livez", {}))
        first = connection.answers()

        assert first[0].status == 200
        assert connection.ended_after(b"GET /livez HTTP/1.1\r\nX: ") < SOON_S


def test_endless_headers_end_the_connection(served: Program) -> None:
    with Connection(served.client) as connection:
        connection.send(b"GET /livez HTTP/1.1\r\nX: " + b"a" * (MAX_HEADER_BYTES + 1))

        assert connection.ended_after(b"a") < 1


def test_bytes_after_an_answer_have_the_deadline_of_a_body(served: Program) -> None:
    with Connection(served.client) as connection:
        connection.send(head("POST", "/v1/me/consents", JSON | {"Content-Length": "1000"}))
        status = connection.answers()[0].status

        assert status == 401
        assert 0.3 < connection.ended_after(b"1") < SOON_S


@pytest.mark.parametrize("framing", [{"Content-Length": "1000"}, {"Transfer-Encoding": "chunked"}], ids=str)
def test_a_slow_body_is_a_timeout(served: Program, framing: dict[str, str]) -> None:
    with Connection(served.client) as connection:
        connection.send(head("POST", "/v1/subjects", JSON | framing), b"1")
        answer = connection.answers()[0]
        ended = connection.ended_after(b"1")

    assert (answer.status, answer.json()["type"]) == (408, "urn:mien:problem:request-timeout")
    assert (answer.headers["content-type"], answer.headers["connection"]) == ("application/problem+json", "close")
    assert ended < 1


def test_a_slow_photo_is_a_timeout(served: Program) -> None:
    token = served.client.post("/v1/subjects", json={"declared_adult": True}).json()["access_token"]
    headers = {**FORM, "Authorization": f"Bearer {token}", "Content-Length": "100000"}

    with Connection(served.client) as connection:
        photo = part("photos", face("emo_happy"), filename="p")
        connection.send(head("POST", "/v1/me/enrolments", headers), photo[:5000])
        answer = connection.answers()[0]

    assert (answer.status, answer.json()["type"]) == (408, "urn:mien:problem:request-timeout")


@pytest.fixture
def small_memory(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A service with the least memory for bodies that can be set."""
    with serving(root, pool, toy_card(), bodies_memory_mib=64) as service:
        yield service


def test_a_body_that_would_exceed_the_memory_is_refused_until_there_is_room(small_memory: RunningService) -> None:
    # Of one person, the third enrolment would wait before its body is read.
    person, *_ = people = [small_memory.person() for _ in range(3)]
    body = part("photos", bytes(25 * MIB), filename="p") + END
    forms = [FORM | {"Authorization": f"Bearer {one.token}"} for one in people]
    heads = [head("POST", "/v1/me/enrolments", form | {"Content-Length": str(len(body))}) for form in forms]

    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(small_memory.client)) for _ in people]
        senders = [
            Thread(target=connection.send, args=(start, body[:-1]))
            for connection, start in zip(connections, heads, strict=True)
        ]
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
    again = small_memory.client.post("/v1/me/enrolments", content=body, headers=forms[0])

    assert (busy.status, busy.json()["type"], busy.headers["retry-after"]) == (503, "urn:mien:problem:busy", "5")
    assert rights.status_code == 200
    assert [answer.status for answer in others] == [422, 422], "received completely: they only lack a consent"
    assert slug(again) == (422, "invalid-request")


def test_messages_of_libraries_are_json_and_repeat_no_request(served: Program) -> None:
    token = served.client.post("/v1/subjects", json={"declared_adult": True}).json()["access_token"]
    wrong = b"--x\r\nContent(Disposition: form-data; canary\r\n\r\n--y"
    answer = served.client.post("/v1/me/enrolments", content=wrong, headers=FORM | {"Authorization": f"Bearer {token}"})
    lines = [json.loads(line) for line in served.log().splitlines()]

    assert slug(answer) == (422, "invalid-request")
    assert {line["logger"] for line in lines if line["event"] == "library"} >= {"python_multipart.multipart"}
    assert "canary" not in served.log()


SHORT = ConnectionLimits(headers_s=0.6, body_s=0.6)
"""Short deadlines."""


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer without reading the body, as for a wrong token."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


@pytest.fixture(scope="module")
def protocol() -> Iterator[httpx.Client]:
    """A server with this protocol and no application."""
    with listening(_refuse, SHORT) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client


@pytest.mark.service
@pytest.mark.parametrize("dripped", [b"1", b"\r\n" * 500], ids=["the rest of a body", "empty lines"])
def test_slow_bytes_after_an_answer_do_not_keep_the_connection_open(protocol: httpx.Client, dripped: bytes) -> None:
    length = {"Content-Length": "1000" if dripped == b"1" else "0"}

    with Connection(protocol) as connection:
        connection.send(head("POST", "/", length))
        status = connection.answers()[0].status

        assert status == 401
        assert 0.3 < connection.ended_after(dripped) < SOON_S


@pytest.mark.service
def test_the_rest_of_a_body_in_time_keeps_the_connection_usable(protocol: httpx.Client) -> None:
    with Connection(protocol) as connection:
        # Each request ends the deadline of the one before, so together they may take longer than one deadline.
        until = time.monotonic() + 2 * SHORT.body_s
        while time.monotonic() < until:
            connection.send(head("POST", "/", {"Content-Length": "200000"}))
            connection.answers()
            connection.send(bytes(200_000))
        connection.send(head("GET", "/", {}))

        assert connection.answers()[0].status == 401
