"""The strict profile of HTTP: a request that two programs could read in two ways is refused, with the reason."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.web.http_profile import MAX_FIELDS, ONCE
from app.web.message_framing import MAX_CHUNK_LINE_BYTES, MAX_HEADER_BYTES
from tests.rest.raw_http import JSON, Connection, head
from tests.support.service_fixture import RunningService, listening

HOST = b"Host: mien\r\n"
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: mien\r\n\r\n"
REFUSED: dict[str, tuple[bytes, str]] = {
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", "Host"),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "`host` once"),
    "two equal Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n", "`host` once"),
    "two Hosts in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "`host` once"),
    "two names in Host": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "Host"),
    "a path in Host": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "Host"),
    "a user in Host": (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "Host"),
    "HTTP/0.9": (b"GET /\r\n\r\n", "HTTP/1.1"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", "HTTP/1.1"),
    "Transfer-Encoding in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0",
    ),
    "Transfer-Encoding with Content-Length": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "framing",
    ),
    "two codings": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "`chunked`",
    ),
    "chunked twice": (
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "framing",
    ),
    "two lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "framing"),
    "a list of lengths": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\na", "framing"),
    "a folded line": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", "header"),
    "a folded line with a tab": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n\tb\r\n\r\n", "header"),
    "a space before the colon": (b"GET / HTTP/1.1\r\nHost : mien\r\n\r\n", "header"),
    "a bare line feed": (b"GET / HTTP/1.1\nHost: mien\n\n", "header"),
    "%2f": (b"GET /v1/me%2ftokens HTTP/1.1\r\n" + HOST + b"\r\n", "%2f"),
    "%2F": (b"GET /v1/%2F HTTP/1.1\r\n" + HOST + b"\r\n", "%2f"),
    "%5c": (b"GET /v1/..%5cme HTTP/1.1\r\n" + HOST + b"\r\n", "%2f"),
    "%5C": (b"GET /v1/%5C HTTP/1.1\r\n" + HOST + b"\r\n", "%2f"),
    "%00": (b"GET /v1/me%00 HTTP/1.1\r\n" + HOST + b"\r\n", "%2f"),
    "a backslash": (b"GET /v1\\me HTTP/1.1\r\n" + HOST + b"\r\n", "%2f"),
    "a fragment": (b"GET /v1/me#x HTTP/1.1\r\n" + HOST + b"\r\n", "#"),
    "too many fields": (b"GET / HTTP/1.1\r\n" + HOST + b"a:b\r\n" * MAX_FIELDS + b"\r\n", "fields"),
    "a large head": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * MAX_HEADER_BYTES + b"\r\n\r\n", "64 KiB"),
    "trailers": (CHUNKED + b"1\r\na\r\n0\r\nX: 5\r\n\r\n", "trailers"),
    "a forged trailer": (CHUNKED + b"0\r\nAuthorization: Bearer x\r\n\r\n", "trailers"),
    "a large chunk extension": (CHUNKED + b"1;" + b"a" * MAX_CHUNK_LINE_BYTES + b"\r\na\r\n0\r\n\r\n", "chunks"),
    "many chunk extensions": (CHUNKED + (b"1;" + b"a" * 1000 + b"\r\na\r\n") * 70 + b"0\r\n\r\n", "chunks"),
    "tiny chunks": (CHUNKED + b"1\r\na\r\n" * 16_000 + b"0\r\n\r\n", "chunks"),
}


async def _read_all(scope: Any, receive: Any, send: Any) -> None:
    """Answer when the whole body has come."""
    while scope["type"] == "http" and (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


@pytest.fixture(scope="module")
def reader() -> Iterator[httpx.Client]:
    """The protocol with an application that reads each body."""
    with listening(_read_all) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client


pytestmark = pytest.mark.service


@pytest.mark.parametrize("name", REFUSED)
def test_an_ambiguous_request_is_refused_with_the_reason(reader: httpx.Client, name: str) -> None:
    sent, reason = REFUSED[name]

    with Connection(reader) as connection:
        connection.send(sent)
        answer = connection.answers()[0]
        ended = connection.read()

    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["type"] == "urn:mien:problem:invalid-request"
    assert reason in answer.json()["errors"][0]["detail"]
    assert ended == b"", "the connection is closed, and no second answer comes"


@pytest.mark.parametrize("field", sorted(ONCE - {b"host", b"content-length", b"transfer-encoding"}))
def test_a_field_that_may_come_once_is_refused_twice(reader: httpx.Client, field: bytes) -> None:
    line = field + b": x\r\n"

    with Connection(reader) as connection:
        connection.send(b"GET / HTTP/1.1\r\n" + HOST + line + line.upper() + b"\r\n")
        answer = connection.answers()[0]

    assert (answer.status, answer.json()["errors"][0]["detail"]) == (400, f"Send the field `{field.decode()}` once")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: mien:8000\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8000\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: mien_1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET http://mien/v1/me HTTP/1.1\r\nHost: mien\r\n\r\n",
        b"GET /?q=%2f%5c%00 HTTP/1.1\r\nHost: mien\r\n\r\n",
        b"GET /%20%C3%A4%25 HTTP/1.1\r\nHost: mien\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: mien\r\nContent-Length: 1\r\n\r\na",
        b"GET / HTTP/1.1\r\n" + HOST + b"Accept: a\r\nAccept: b\r\nX: 1\r\nX: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"traceparent: a\r\ntraceparent: b\r\n\r\n",
        CHUNKED + b"1;name=value\r\na\r\n0;last\r\n\r\n",
        CHUNKED + b"00001\r\na\r\n000\r\n\r\n",
        CHUNKED + b"1\r\na\r\n" * 1000 + b"0\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_a_plain_request_is_answered(reader: httpx.Client, sent: bytes) -> None:
    with Connection(reader) as connection:
        connection.send(sent)

        assert connection.answers()[0].status == 200


def test_the_service_refuses_before_any_route_and_goes_on(service: RunningService) -> None:
    person = service.person()
    bearer = {"Authorization": f"Bearer {person.token}"}

    with Connection(service.client) as connection:
        connection.send(head("GET", "/v1/me%2ftokens", JSON | bearer) + SMUGGLED)
        answer = connection.answers()[0]

    assert (answer.status, set(answer.headers) >= {"x-request-id", "content-length"}) == (400, True)
    assert person("GET", "/v1/me").status_code == 200
