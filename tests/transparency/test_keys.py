"""The keys that sign: rotated and given up as stolen beside a running service, which goes on."""

import base64
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typer.testing import CliRunner, Result

from app.cli.program import app
from app.transparency.verify.checkpoint import Verifier, open_checkpoint
from app.vault.register import DESTROYED, Owner
from tests.support.service_fixture import Person, RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card

SOON = 120.0
"""Seconds within which a batch has come."""
Command = Callable[..., Result]


@pytest.fixture
def service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A running service whose batches come at once."""
    with serving(root, pool, toy_card(), log_interval=0.2) as running:
        yield running


@pytest.fixture
def command(root: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command beside it, on stores of its own."""
    monkeypatch.setattr("app.web.request_log.configure", lambda: None)
    environment = {"MIEN_DATA_DIR": str(root / "data"), "MIEN_KEYS_DIR": str(root / "keys")}
    return lambda *words: CliRunner(env=environment).invoke(app, list(words))


def said(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def kid(receipt: dict[str, Any]) -> str:
    """Return the key that a receipt says signed it."""
    head = receipt["jws"].split(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])


def receipt_of(person: Person) -> dict[str, Any]:
    """Let somebody do something that there is a receipt of."""
    answer = person("PATCH", "/v1/me", json={"display_name": "Grace Canary"})
    assert answer.status_code == 200, answer.text
    receipt: dict[str, Any] = answer.json()["receipt"]
    return receipt


def wait_for(client: httpx.Client, receipt: dict[str, Any]) -> None:
    """Wait until the log has it."""
    until = time.monotonic() + SOON
    while client.get("/v1/log/proof", params={"leaf": receipt["leaf"]}).status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.05)


def verdict(service: RunningService, receipt: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = service.client.post("/v1/receipts/verify", json={"receipt": receipt}).json()
    return found


def opening(root: Path, which: str) -> int:
    """Count the keys of the register that open the private half of a signing key, with nothing but AES."""
    kek = AESGCM(base64.b64decode((root / "keys" / "kek").read_bytes()))
    with closing(sqlite3.connect(root / "keys" / "register.db")) as connection:
        asked = "SELECT id, sealed FROM log_signing_keys WHERE thumbprint = ?"
        key_id, sealed = connection.execute(asked, (which,)).fetchone()
        slots = connection.execute("SELECT owner, generation, wrapped FROM keys").fetchall()
    context, count = f"log_signing_keys.sealed:{UUID(key_id)}".encode(), 0
    for owner, generation, wrapped in slots:
        with suppress(InvalidTag):
            raw = kek.decrypt(wrapped[:12], wrapped[12:], f"key:{owner.hex()}:{generation}".encode())
            count += len(AESGCM(raw).decrypt(sealed[:12], sealed[12:], context)) == 32
    return count


def slot(root: Path, which: str) -> bytes:
    """Return what is in the place of the key that a private half is sealed under."""
    with closing(sqlite3.connect(root / "keys" / "register.db")) as connection:
        asked = "SELECT id FROM log_signing_keys WHERE thumbprint = ?"
        owner = Owner.log(UUID(connection.execute(asked, (which,)).fetchone()[0])).digest
        [(wrapped,)] = connection.execute("SELECT wrapped FROM keys WHERE owner = ?", (owner,)).fetchall()
    return bytes(wrapped)


def test_receipts_are_signed_by_a_new_key_from_the_rotation_on_and_old_ones_still_hold(
    service: RunningService, command: Command
) -> None:
    person = service.person()
    old = receipt_of(person)
    new_kid = said(command("keys", "rotate-receipts", "--json"))["kid"]
    new = receipt_of(person)

    assert kid(old) != kid(new) == new_kid
    wait_for(service.client, old)
    wait_for(service.client, new)
    assert verdict(service, old)["valid"], verdict(service, old)
    assert verdict(service, new)["valid"], verdict(service, new)
    published = {key["kid"]: key for key in service.client.get("/.well-known/jwks.json").json()["keys"]}
    assert "exp" in published[kid(old)]
    assert "exp" not in published[new_kid]
    assert not any("revoked" in key for key in published.values())


def test_the_old_private_key_is_gone(service: RunningService, command: Command, root: Path) -> None:
    old = kid(receipt_of(service.person()))
    before = slot(root, old)
    assert opening(root, old) == 1

    new = said(command("keys", "rotate-receipts", "--json"))["kid"]

    assert slot(root, old) == DESTROYED
    assert (opening(root, old), opening(root, new)) == (0, 1)
    assert not [path for path, content in service.files() if before in content], "nor is it in a log of the databases"


def test_what_a_stolen_key_signed_holds_if_the_log_had_it_before(service: RunningService, command: Command) -> None:
    person = service.person()
    before = receipt_of(person)
    wait_for(service.client, before)
    time.sleep(0.3)
    stolen_at = datetime.now(UTC)
    time.sleep(0.3)
    after = receipt_of(person)
    wait_for(service.client, after)

    told = said(command("keys", "stolen", kid(before), "--since", stolen_at.isoformat(), "--json"))
    fresh = receipt_of(person)
    wait_for(service.client, fresh)

    assert told["now_signs"] == kid(fresh) != kid(before)
    assert verdict(service, before)["valid"], verdict(service, before)
    assert verdict(service, fresh)["valid"], verdict(service, fresh)
    refused = verdict(service, after)
    assert not refused["valid"]
    assert "stolen" in refused["reason"]
    published = {key["kid"]: key for key in service.client.get("/.well-known/jwks.json").json()["keys"]}
    revoked = published[kid(before)]["revoked"]
    assert (revoked["reason"], revoked["log_size"]) == ("compromised", told["log_size"])


def test_of_two_thefts_the_earlier_counts(service: RunningService, command: Command) -> None:
    signs = kid(receipt_of(service.person()))
    with service.vault.register.store.read() as session:
        made = session.connection().exec_driver_sql(
            "SELECT made_at FROM log_signing_keys WHERE thumbprint = ?", (signs,)
        )
        made_at = datetime.fromisoformat(made.scalar_one()).replace(tzinfo=UTC)
    early = said(command("keys", "stolen", signs, "--since", (made_at + timedelta(seconds=1)).isoformat(), "--json"))

    late = said(command("keys", "stolen", signs, "--since", datetime.now(UTC).isoformat(), "--json"))

    assert (late["stolen_at"], late["log_size"]) == (early["stolen_at"], early["log_size"])
    assert late["now_signs"] == early["now_signs"], "it is rotated once"


def test_after_the_key_of_keys_was_rotated_everything_still_signs(service: RunningService, command: Command) -> None:
    person = service.person()
    assert command("keys", "rotate").exit_code == 0
    new = said(command("keys", "rotate-receipts", "--json"))["kid"]
    assert command("keys", "rotate").exit_code == 0
    receipt = receipt_of(person)
    wait_for(service.client, receipt)

    assert kid(receipt) == new
    assert verdict(service, receipt)["valid"]
    verifier = Verifier.from_vkey(said(command("keys", "list", "--json"))["vkey"])
    assert open_checkpoint(service.client.get("/v1/log/checkpoint").text, verifier).size > 0


def test_keys_are_listed_as_they_are_published(service: RunningService, command: Command) -> None:
    signs = kid(receipt_of(service.person()))
    said(command("keys", "rotate-receipts", "--json"))
    listed = said(command("keys", "list", "--json"))["keys"]
    published = service.client.get("/.well-known/jwks.json").json()["keys"]

    assert [key["kid"] for key in listed] == [key["kid"] for key in published]
    shown = command("keys", "list").stdout.splitlines()
    assert len(shown) == len(listed) + 1
    assert any(line.startswith(signs) and "retired" in line for line in shown)
    assert sum("in force" in line for line in shown) == 3


@pytest.mark.parametrize(
    "since",
    [
        "2026-11-23",
        "2026-11-23T12:00:00",
        "yesterday",
        "2026-11-23 12:00:00Z",
        "2026-02-30T12:00:00Z",
        "1764000000",
        "",
    ],
)
def test_a_time_without_a_zone_is_a_matter_of_usage(root: Path, command: Command, since: str) -> None:
    result = command("keys", "stolen", "A" * 43, "--since", since)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "2026-11-23T12:00:00Z" in " ".join(result.stderr.replace("│", " ").split())


def test_what_was_no_key_or_no_time_of_it_is_refused(root: Path, command: Command) -> None:
    listed = said(command("keys", "list", "--json"))["keys"]
    kids = {key["signs"]: key["kid"] for key in listed}
    wrong = [
        ("A" * 43, "2026-11-23T12:00:00Z", "no key of receipts"),
        ("-" + "A" * 42, "2026-11-23T12:00:00Z", "no key of receipts"),
        ("--" + "A" * 41, "2026-11-23T12:00:00Z", "no key of receipts"),
        (kids["checkpoints"], "2026-11-23T12:00:00Z", "no key of receipts"),
        (kids["receipts"], "2020-01-01T00:00:00+01:00", "name a time between then and now"),
        (kids["receipts"], "2999-01-01t00:00:00z", "name a time between then and now"),
    ]

    for which, since, reason in wrong:
        result = command("keys", "stolen", which, "--since", since)

        assert (result.exit_code, result.stdout) == (1, ""), result.output
        assert result.stderr.startswith("mien: ")
        assert reason in result.stderr
    assert said(command("keys", "list", "--json"))["keys"] == listed, "nothing was rotated"
