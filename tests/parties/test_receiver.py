"""The example receiver accepts a message that Mien signed for it, now, once; then it knows who consents."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from examples.receiver import EARLY_S, LATE_S, Receiver, RefusedError
from tests.architecture.source import ROOT
from tests.parties.receivers import set_url
from tests.support.service_fixture import RunningService
from tests.support.waiting import wait_until
from tests.transparency.signed_bundles import Key, compact

NOW = 1_790_000_000.0
ME, ISSUER = str(uuid4()), "mien/3f8e6a52-7f0c-4d59-9d0a-2c1b8f4e7a60"


@pytest.fixture
def key() -> Key:
    return Key()


@pytest.fixture
def receiver(tmp_path: Path, key: Key) -> Receiver:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [key.published("events"), Key().published()]}))
    return Receiver(file, ISSUER, ME, tmp_path / "events.db")


def token(key: Key, *, typ: str = "mien-event+jws", head: dict[str, Any] | None = None, **more: Any) -> str:
    claims = {"iss": ISSUER, "aud": ME, "jti": str(uuid4()), "iat": int(NOW), "event": "given"}
    all_claims = {**claims, "subject_ref": "ref", "purpose": "verification", **more}
    return key.jws(
        compact({name: value for name, value in all_claims.items() if value is not None}), typ, **(head or {})
    )


@pytest.mark.service
def test_the_receiver_knows_who_consents(receiver: Receiver, key: Key) -> None:
    before = receiver.consents("ref", "verification")
    taken = receiver.take(token(key), now=NOW)
    given = receiver.consents("ref", "verification")
    ended = receiver.take(token(key, event="ended", iat=int(NOW) + 1), now=NOW + 1)

    assert (before, taken, given, ended) == (False, "new", True, "new")
    assert not receiver.consents("ref", "verification")


@pytest.mark.service
def test_a_message_counts_once_also_after_a_restart(receiver: Receiver, key: Key) -> None:
    given, ended = token(key), token(key, event="ended")
    assert receiver.take(given, now=NOW) == "new"
    assert receiver.take(ended, now=NOW) == "new"
    again = Receiver(receiver.jwks, receiver.issuer, receiver.me, receiver.store)

    assert again.take(given, now=NOW) == "seen"
    assert not again.consents("ref", "verification")


@pytest.mark.service
def test_a_message_tried_again_days_later_has_its_id_and_a_new_time(receiver: Receiver, key: Key) -> None:
    jti, later = str(uuid4()), NOW + 2 * 24 * 3600
    assert receiver.take(token(key, jti=jti), now=NOW) == "new"

    assert receiver.take(token(key, jti=jti, iat=int(later)), now=later) == "seen"


@pytest.mark.service
def test_an_end_is_final_unless_a_consent_is_given_later(receiver: Receiver, key: Key) -> None:
    receiver.take(token(key, event="ended", iat=int(NOW)), now=NOW)
    stale = receiver.take(token(key, event="given", iat=int(NOW) - 1), now=NOW)
    after_stale = receiver.consents("ref", "verification")
    newer = receiver.take(token(key, event="given", iat=int(NOW) + 1), now=NOW)

    assert (stale, after_stale, newer) == ("older", False, "new")
    assert receiver.consents("ref", "verification")


@pytest.mark.parametrize("seconds", [-LATE_S - 1, EARLY_S + 1])
def test_a_message_from_another_time_is_refused(receiver: Receiver, key: Key, seconds: int) -> None:
    with pytest.raises(RefusedError, match="too old"):
        receiver.take(token(key, iat=int(NOW) + seconds), now=NOW)


@pytest.mark.service
@pytest.mark.parametrize(
    "more",
    [{"aud": str(uuid4())}, {"iss": "mien/another"}, {"event": "why"}, {"reason": "erased"}, {"jti": None}],
    ids=["for another party", "from another issuer", "unknown event", "unknown claim", "without an id"],
)
def test_a_message_for_another_party_or_with_other_claims_is_refused(
    receiver: Receiver, key: Key, more: dict[str, Any]
) -> None:
    with pytest.raises(RefusedError):
        receiver.take(token(key, **more), now=NOW)
    assert not receiver.consents("ref", "verification")


@pytest.mark.service
def test_a_signature_by_another_key_is_refused(receiver: Receiver, key: Key) -> None:
    receipts = Key()
    keys = [key.published("events"), receipts.published("receipts")]
    receiver.jwks.write_text(json.dumps({"keys": keys}))
    good = token(key)
    bad = [
        token(Key()),
        token(receipts),
        token(key, typ="mien-receipt+jws"),
        token(key, head={"alg": "none"}),
        token(key, head={"jwk": {"kty": "oct"}}),
        good[:-4] + "AAAA",
        good.rpartition(".")[0] + ".",
        good + ".x",
        "\N{SNOWMAN}",
        "",
        "e30.e30.e30",
        "W10.W10.W10",
    ]
    for one in bad:
        with pytest.raises(RefusedError):
            receiver.take(one, now=NOW)

    assert receiver.take(good, now=NOW) == "new"


@pytest.mark.parametrize("ended", [{"exp": int(NOW)}, {"revoked": {"revoked_at": int(NOW)}}], ids=["retired", "stolen"])
def test_a_retired_or_stolen_key_is_refused(receiver: Receiver, key: Key, ended: dict[str, Any]) -> None:
    receiver.jwks.write_text(json.dumps({"keys": [key.published("events", **ended)]}))
    with pytest.raises(RefusedError):
        receiver.take(token(key), now=NOW)


def test_the_program_receives_messages_from_a_service(callback_service: RunningService, tmp_path: Path) -> None:
    service = callback_service
    party, file = service.party(), tmp_path / "jwks.json"
    file.write_bytes(service.client.get("/.well-known/jwks.json").content)
    issuer = service.client.get("/v1/log/checkpoint").text.splitlines()[0]
    store = tmp_path / "events.db"
    arguments = ["--jwks", str(file), "--issuer", issuer, "--me", party.id, "--store", str(store), "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "examples/receiver.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as program:
        try:
            assert program.stdout is not None
            address = program.stdout.readline().decode().split()[-1]
            set_url(service, party, address)
            person, _, consent = service.enrolled(face=1, party=party)
            ours = Receiver(file, issuer, party.id, store)
            wait_until(lambda: ours.consents(consent["subject_ref"], "verification"))
            person("DELETE", "/v1/me").raise_for_status()
            wait_until(lambda: not ours.consents(consent["subject_ref"], "verification"))
            refused = [
                httpx.post(address, content=content, trust_env=False).status_code
                for content in (b"nonsense", b"x" * 10_000)
            ]
        finally:
            program.kill()

    assert refused == [400, 413]
