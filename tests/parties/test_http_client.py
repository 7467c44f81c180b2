"""One request to a callback: to the checked address, with the certificate of the name, within limits."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.callbacks import http_client
from app.callbacks.http_client import CallbackClient, CallResult, Outcome
from tests.parties.receivers import (
    OK,
    Behaviour,
    answer_slowly,
    answer_with,
    answer_with_endless_headers,
    answer_with_gigabyte,
    closed_port,
    never_answer,
    run_receiver,
)

NAME = "door.example.org"
PUBLIC = "93.184.216.34"


class Resolver:
    """Returns one list after the other, then the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.names: list[str] = []
        self._answers = chain(answers, repeat(answers[-1]))

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.names.append(host)
        return next(self._answers)


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses to which a connection was tried; every try fails."""
    tried: list[str] = []

    def connect(_self: object, host: str, *_more: object) -> httpcore.NetworkStream:
        tried.append(host)
        raise httpcore.ConnectError

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    return tried


def call(*answers: Sequence[str], private: bool = False, url: str = f"https://{NAME}/events") -> CallResult:
    return CallbackClient(private=private, resolve=Resolver(*answers))(url, "message")


def test_the_connection_goes_to_the_checked_address(connected: list[str]) -> None:
    resolver = Resolver([PUBLIC], ["127.0.0.1"])
    answer = CallbackClient(private=False, resolve=resolver)(f"https://{NAME}/events", "message")

    assert connected == [PUBLIC]
    assert resolver.names == [NAME], "a name that is resolved twice can have two answers"
    assert answer.outcome is Outcome.UNREACHABLE


def test_a_name_that_changes_to_a_private_address_is_refused(connected: list[str]) -> None:
    caller = CallbackClient(private=False, resolve=Resolver([PUBLIC], ["127.0.0.1"], ["10.0.0.1", "::ffff:10.0.0.1"]))
    answers = [caller(f"https://{NAME}/events", "message") for _ in range(3)]

    assert connected == [PUBLIC]
    assert [one.reason for one in answers] == ["ConnectError", "RefusedAddressError", "RefusedAddressError"]


def test_of_several_addresses_only_the_allowed_ones_are_tried(connected: list[str]) -> None:
    call(["10.0.0.1", "2606:4700::1111", "::1", PUBLIC, "fe80::1%1", "169.254.169.254"])

    assert connected == ["2606:4700::1111", PUBLIC]


def test_of_a_thousand_addresses_a_few_are_tried(connected: list[str]) -> None:
    call([f"93.184.{one // 250}.{one % 250}" for one in range(1000)])

    assert len(connected) == http_client.MAX_ADDRESSES


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost"])
def test_other_ways_to_write_this_machine_are_refused(connected: list[str], host: str) -> None:
    """The system decides how to read them; the resulting address is checked."""
    answer = CallbackClient(private=False)(f"https://{host}/", "message")

    assert answer.reason in {"RefusedAddressError", "gaierror"}
    assert connected == []


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    def fails(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    assert CallbackClient(private=False, resolve=fails)(f"https://{NAME}/", "message").outcome is Outcome.UNREACHABLE
    assert call(["no address"]).reason == "RefusedAddressError"
    assert call([]).reason == "RefusedAddressError"


def test_a_stored_callback_that_is_no_longer_allowed_is_refused(connected: list[str]) -> None:
    assert call([PUBLIC], url=f"http://{NAME}/").reason == "CallbackError"
    assert connected == []


# --- Responses


@pytest.mark.service
@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (answer_with(OK), Outcome.ACKNOWLEDGED),
        (answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Outcome.ACKNOWLEDGED),
        (answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nearly"), Outcome.ACKNOWLEDGED),
        (answer_with_gigabyte, Outcome.ACKNOWLEDGED),
        (answer_with(b"HTTP/1.1 200 OK\r\nX-Half: "), Outcome.UNREACHABLE),
        (answer_with(b"HTTP/1.1 2"), Outcome.UNREACHABLE),
        (answer_with(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n"), Outcome.UNREACHABLE),
        (answer_with(b""), Outcome.UNREACHABLE),
        (answer_with(b"220 mail.example.org ready\r\n"), Outcome.UNREACHABLE),
        (answer_with(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000), Outcome.UNREACHABLE),
        (answer_with_endless_headers, Outcome.UNREACHABLE),
        (never_answer, Outcome.UNREACHABLE),
        (answer_slowly, Outcome.UNREACHABLE),
        (answer_with(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), Outcome.ANSWERED),
        (answer_with(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), Outcome.UNREACHABLE),
    ],
    ids=range(15),
)
def test_only_the_status_counts_and_the_wait_is_limited(behaviour: Behaviour, outcome: Outcome) -> None:
    with run_receiver(behaviour) as receiver:
        answer = CallbackClient(private=True, whole_s=1.0 if outcome is Outcome.UNREACHABLE else 300.0)(
            receiver.url, "message"
        )

    assert answer.outcome is outcome, answer
    assert len(receiver.requests) == 1


@pytest.mark.service
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with run_receiver() as target:
        location = f"Location: {target.url}".encode()
        moved = answer_with(f"HTTP/1.1 {status} Moved\r\n".encode() + location + b"\r\nContent-Length: 0\r\n\r\n")
        with run_receiver(moved) as receiver:
            answer = CallbackClient(private=True)(receiver.url, "message")

    assert answer == CallResult(Outcome.ANSWERED, str(status))
    assert (len(receiver.requests), target.requests) == (1, [])


@pytest.mark.service
def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with run_receiver() as proxy, run_receiver() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        answer = CallbackClient(private=True)(receiver.url, "message")

    assert answer.outcome is Outcome.ACKNOWLEDGED
    assert (len(receiver.requests), proxy.requests) == (1, [])


@pytest.mark.service
def test_a_closed_port_is_unreachable() -> None:
    answer = CallbackClient(private=True)(f"http://127.0.0.1:{closed_port()}/", "message")

    assert answer == CallResult(Outcome.UNREACHABLE, "ConnectError")


@pytest.mark.service
def test_the_request_has_only_the_necessary_headers() -> None:
    with run_receiver() as receiver:
        CallbackClient(private=True)(receiver.url, "message")
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]]

    assert head.startswith(b"POST /events?token=canary-of-the-callback HTTP/1.1")
    assert f"Host: 127.0.0.1:{receiver.port}".encode() in head
    assert sorted(names) == [b"accept", b"connection", b"content-length", b"content-type", b"host", b"user-agent"]
    assert body == b"message"


# --- TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The context of a server with a certificate for NAME, and of a client that trusts it."""
    directory = tmp_path_factory.mktemp("tls")
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = _write_pem(directory, key, certificate)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


def _write_pem(directory: Path, key: Any, certificate: x509.Certificate) -> Path:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = directory / "both.pem"
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return pem


@pytest.mark.service
def test_the_certificate_and_host_header_are_for_the_name(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    with run_receiver(tls=tls[0]) as receiver:
        caller = CallbackClient(private=True, resolve=Resolver(["127.0.0.1"]), tls=tls[1])
        answers = [caller(f"https://{name}:{receiver.port}/events", "message") for name in (NAME, f"other.{NAME}")]

    assert [one.outcome for one in answers] == [Outcome.ACKNOWLEDGED, Outcome.UNREACHABLE]
    assert len(receiver.requests) == 1
    assert f"Host: {NAME}:{receiver.port}".encode() in receiver.requests[0]


@pytest.mark.service
def test_an_untrusted_certificate_is_refused(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with run_receiver(tls=tls[0]) as receiver:
        caller = CallbackClient(private=True, resolve=Resolver(["127.0.0.1"]))
        answer = caller(f"https://{NAME}:{receiver.port}/events", "message")

    assert answer.outcome is Outcome.UNREACHABLE
    assert receiver.requests == []
