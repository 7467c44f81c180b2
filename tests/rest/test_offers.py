"""A request that offers another protocol is answered as if it did not: its body is read, and is no second request."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.rest.raw_http import JSON, Connection, head
from tests.support.service_fixture import RunningService, listening

H2C = {
    "Connection": "Upgrade, HTTP2-Settings",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
}
"""As the client of Java 17 sends it, by default and with each first request."""
NGINX = {"Upgrade": "websocket", "Connection": "upgrade"}
"""As nginx's usual block for WebSocket sends it, with every request."""
OFFERS: dict[str, list[tuple[str, str]]] = {
    "Java": [*H2C.items()],
    "nginx": [*NGINX.items()],
    "WebSocket": [*NGINX.items(), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")],
    "mixed case": [("UPGRADE", "H2C"), ("connection", "uPgRaDe")],
    "several headers": [
        ("Connection", "keep-alive"),
        ("Upgrade", "h2c"),
        ("Connection", "Upgrade"),
        ("Upgrade", "TLS/1.2"),
    ],
    "several tokens": [("Connection", "keep-alive , HTTP2-Settings,Upgrade"), ("Upgrade", "h2c, websocket, TLS/1.0")],
    "nothing offered": [("Connection", "Upgrade")],
    "not listed in Connection": [("Upgrade", "h2c")],
    "an empty offer": [("Connection", "Upgrade"), ("Upgrade", "")],
}
SMUGGLED = head("GET", "/smuggled", {})


def request(method: str, path: str, offer: list[tuple[str, str]], more: dict[str, str]) -> bytes:
    """Return the head of a request whose headers may repeat."""
    lines = [f"{name}: {value}" for name, value in [*offer, *more.items()]]
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: mien", *lines, "", ""]).encode()


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the method, the path, the names of the headers and the body of the request."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    names = sorted(name.decode() for name, _ in scope["headers"])
    seen = json.dumps([scope["method"], scope["path"], names, body.decode()]).encode()
    length = (b"content-length", str(len(seen)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": seen})


@pytest.fixture(scope="module")
def echo() -> Iterator[httpx.Client]:
    """The protocol with an application that echoes."""
    with listening(_echo) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client


pytestmark = pytest.mark.service


def echoed(connection: Connection, count: int = 1) -> list[tuple[str, str, str]]:
    """Return the method, the path and the body of each request that reached the application."""
    return [(method, path, body) for method, path, _, body in (one.json() for one in connection.answers(count))]


def nothing_more(connection: Connection) -> bool:
    """Return whether the next answer is the one to a last request: none came between."""
    connection.send(head("GET", "/last", {}))
    return echoed(connection) == [("GET", "/last", "")]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("pause_s", [0, 0.05])
def test_a_body_after_an_offer_is_no_second_request(echo: httpx.Client, offer: str, pause_s: float) -> None:
    length = {"Content-Length": str(len(SMUGGLED))}

    with Connection(echo) as connection:
        connection.send(request("POST", "/first", OFFERS[offer], length))
        time.sleep(pause_s)
        connection.send(SMUGGLED)

        assert echoed(connection) == [("POST", "/first", SMUGGLED.decode())]
        assert nothing_more(connection)


@pytest.mark.parametrize("offer", OFFERS)
def test_a_chunked_body_after_an_offer_is_read(echo: httpx.Client, offer: str) -> None:
    chunked = {"Transfer-Encoding": "chunked", "Expect": "100-continue"}

    with Connection(echo) as connection:
        connection.send(request("PUT", "/first", OFFERS[offer], chunked))
        assert connection.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"%x\r\n" % len(SMUGGLED), SMUGGLED, b"\r\n0\r\n\r\n")

        assert echoed(connection) == [("PUT", "/first", SMUGGLED.decode())]
        assert nothing_more(connection)


def test_offers_in_the_middle_of_a_connection_are_ignored(echo: httpx.Client) -> None:
    """Sent at once, and byte by byte."""
    body = {"Content-Length": "3"}
    sent = (
        head("GET", "/1", {})
        + request("GET", "/2", OFFERS["Java"], {})
        + request("POST", "/3", OFFERS["nginx"], body)
        + b"abc"
        + request("DELETE", "/4", OFFERS["several headers"], {})
        + request("OPTIONS", "/5", OFFERS["Java"], body)
        + b"abc"
        + head("POST", "/6", body)
        + b"abc"
    )
    expected = [("GET", "/1", ""), ("GET", "/2", ""), ("POST", "/3", "abc")]
    expected += [("DELETE", "/4", ""), ("OPTIONS", "/5", "abc"), ("POST", "/6", "abc")]

    for pieces in ([sent], [sent[at : at + 1] for at in range(len(sent))]):
        with Connection(echo) as connection:
            connection.send(*pieces)

            assert echoed(connection, 6) == expected
            assert nothing_more(connection)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_offer_does_not_keep_a_connection_open(echo: httpx.Client, version: str) -> None:
    headers = "Host: mien\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3"

    with Connection(echo) as connection:
        connection.send(f"POST /first HTTP/{version}\r\n{headers}\r\n\r\nabc".encode())

        assert echoed(connection) == [("POST", "/first", "abc")]
        assert connection.read() == b""


def test_the_application_sees_no_offer(echo: httpx.Client) -> None:
    with Connection(echo) as connection:
        connection.send(request("POST", "/", OFFERS["Java"], {"Transfer-Encoding": "chunked", "X-One": "1"}))
        connection.send(b"1\r\na\r\n0\r\n\r\n")
        _, _, names, body = connection.answers()[0].json()

    assert names == ["connection", "host", "http2-settings", "transfer-encoding", "x-one"]
    assert body == "a"


@pytest.mark.parametrize(
    "sent",
    [
        b"CONNECT mien:80 HTTP/1.1\r\nHost: mien\r\n\r\n",
        request("CONNECT", "mien:80", OFFERS["Java"], {"Content-Length": "3"}),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        request("POST", "/", OFFERS["Java"], {"Content-Length": "3", "Transfer-Encoding": "chunked"}),
        request("POST", "/", OFFERS["Java"], {"Content-Length": "3", "content-length": "4"}),
    ],
    ids=["a tunnel", "a tunnel with an offer", "HTTP/2", "two framings", "two lengths"],
)
def test_a_request_that_cannot_be_read_ends_the_connection(echo: httpx.Client, sent: bytes) -> None:
    with Connection(echo) as connection:
        connection.send(sent + SMUGGLED)

        assert connection.answers()[0].status == 400
        assert connection.ended_after() < 5


def test_headers_with_an_offer_have_the_same_limits(echo: httpx.Client) -> None:
    for name in ("Upgrade", "X"):
        with Connection(echo) as connection:
            connection.send(request("GET", "/", [*OFFERS["Java"], (name, "a" * 70_000)], {}))

            assert connection.ended_after() < 5


def test_the_request_of_java_is_read(service: RunningService) -> None:
    body = b'{"declared_adult": true}'
    smuggled = head("GET", "/v1/engine", {})

    with Connection(service.client) as connection:
        connection.send(head("POST", "/v1/subjects", JSON | H2C | {"Content-Length": str(len(body))}) + body)
        answer = connection.answers()[0]
        connection.send(head("POST", "/v1/subjects", JSON | H2C | {"Content-Length": str(len(smuggled))}))
        connection.send(smuggled)
        refused = connection.answers()[0]
        connection.send(head("GET", "/livez", {}))
        last = connection.answers()[0]

    assert (answer.status, bool(answer.json()["access_token"])) == (201, True)
    assert (refused.status, refused.json()["type"]) == (422, "urn:mien:problem:invalid-request")
    assert last.json() == {"status": "live"}


JAVA = """
import java.net.*; import java.net.http.*; import java.nio.file.*;
class Client {
  public static void main(String[] to) throws Exception {
    var client = HttpClient.newHttpClient();
    var bodies = new String[] {"{\\"declared_adult\\": true}", "GET / HTTP/1.1\\r\\nHost: mien\\r\\n\\r\\n"};
    for (var body : bodies) {
      for (var publisher : new HttpRequest.BodyPublisher[] {
          HttpRequest.BodyPublishers.ofString(body),
          HttpRequest.BodyPublishers.fromPublisher(HttpRequest.BodyPublishers.ofString(body))}) {
        var request = HttpRequest.newBuilder(URI.create(to[0] + "/v1/subjects"))
            .header("Content-Type", "application/json").POST(publisher).build();
        var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.statusCode() + " " + answer.version());
      }
    }
  }
}
"""


@pytest.mark.slow
@pytest.mark.foreign
def test_clients_of_java_and_curl_are_answered(service: RunningService, tmp_path: Path) -> None:
    program, url = tmp_path / "Client.java", str(service.client.base_url)
    program.write_text(JAVA, "utf-8")

    java = subprocess.run(["java", str(program), url], capture_output=True, text=True, check=True)
    curl = subprocess.run(
        ["curl", "--silent", "--http2", "--json", '{"declared_adult": true}', f"{url}/v1/subjects"],
        capture_output=True,
        check=True,
    )

    assert java.stdout.splitlines() == ["201 HTTP_1_1"] * 2 + ["422 HTTP_1_1"] * 2
    assert "access_token" in json.loads(curl.stdout)
