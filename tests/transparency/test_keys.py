"""Signing keys, rotated and reported stolen by commands while the service runs."""

import base64
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typer.testing import Result

from app.kit.clock import utc_now
from app.transparency.log.batch import append_batch
from app.transparency.verify.checkpoint import Verifier, open_checkpoint
from app.vault.register import DESTROYED, Owner
from tests.support.launcher import run_here
from tests.support.service_fixture import Person, RunningService

Command = Callable[..., Result]


@pytest.fixture
def command(root: Path) -> Command:
    """Run a command on the stores of the service."""
    return partial(run_here, root)


def document(result: Result) -> dict[str, Any]:
    """Return the printed JSON of a successful command."""
    assert result.exit_code == 0, result.output
    printed: dict[str, Any] = json.loads(result.stdout)
    return printed


def kid(receipt: dict[str, Any]) -> str:
    """Return the key that a receipt names."""
    head = receipt["jws"].split(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])


def new_receipt(person: Person) -> dict[str, Any]:
    """Let a person do an act that has a receipt."""
    answer = person("PATCH", "/v1/me", json={"display_name": "Grace Canary"})
    assert answer.status_code == 200, answer.text
    receipt: dict[str, Any] = answer.json()["receipt"]
    return receipt


def add_to_log(service: RunningService, *receipts: dict[str, Any]) -> None:
    """Append the pending leaves, those of *receipts* among them."""
    append_batch(service.vault, settings=service.settings, now=utc_now(), at_once=True)
    for receipt in receipts:
        assert service.client.get("/v1/log/proof", params={"leaf": receipt["leaf"]}).status_code == 200


def verdict(service: RunningService, receipt: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = service.client.post("/v1/receipts/verify", json={"receipt": receipt}).json()
    return found


def count_opening_keys(root: Path, which: str) -> int:
    """Return how many keys of the register open the private part of a signing key, by AES alone."""
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


def wrapped_key(root: Path, which: str) -> bytes:
    """Return the wrapped key that seals the private part of a signing key."""
    with closing(sqlite3.connect(root / "keys" / "register.db")) as connection:
        asked = "SELECT id FROM log_signing_keys WHERE thumbprint = ?"
        owner = Owner.log(UUID(connection.execute(asked, (which,)).fetchone()[0])).digest
        [(wrapped,)] = connection.execute("SELECT wrapped FROM keys WHERE owner = ?", (owner,)).fetchall()
    return bytes(wrapped)


def test_a_rotated_key_signs_new_receipts_and_old_ones_stay_valid(service: RunningService, command: Command) -> None:
    person = service.person()
    old = new_receipt(person)
    new_kid = document(command("keys", "rotate-receipts", "--json"))["kid"]
    new = new_receipt(person)

    assert kid(old) != kid(new) == new_kid
    add_to_log(service, old, new)
    assert verdict(service, old)["valid"], verdict(service, old)
    assert verdict(service, new)["valid"], verdict(service, new)
    published = {key["kid"]: key for key in service.client.get("/.well-known/jwks.json").json()["keys"]}
    assert "exp" in published[kid(old)]
    assert "exp" not in published[new_kid]
    assert not any("revoked" in key for key in published.values())


def test_the_old_private_key_is_destroyed(service: RunningService, command: Command, root: Path) -> None:
    old = kid(new_receipt(service.person()))
    before = wrapped_key(root, old)
    assert count_opening_keys(root, old) == 1

    new = document(command("keys", "rotate-receipts", "--json"))["kid"]

    assert wrapped_key(root, old) == DESTROYED
    assert (count_opening_keys(root, old), count_opening_keys(root, new)) == (0, 1)
    assert not [path for path, content in service.files() if before in content], "nor is it in a write-ahead log"


def test_a_receipt_of_a_stolen_key_is_valid_only_if_the_log_had_it_before(
    service: RunningService, command: Command
) -> None:
    person = service.person()
    before = new_receipt(person)
    add_to_log(service, before)
    stolen_at = utc_now()
    after = new_receipt(person)
    add_to_log(service, after)

    report = document(command("keys", "stolen", kid(before), "--since", stolen_at.isoformat(), "--json"))
    fresh = new_receipt(person)
    add_to_log(service, fresh)

    assert report["now_signs"] == kid(fresh) != kid(before)
    assert verdict(service, before)["valid"], verdict(service, before)
    assert verdict(service, fresh)["valid"], verdict(service, fresh)
    refused = verdict(service, after)
    assert not refused["valid"]
    assert "stolen" in refused["reason"]
    published = {key["kid"]: key for key in service.client.get("/.well-known/jwks.json").json()["keys"]}
    revoked = published[kid(before)]["revoked"]
    assert (revoked["reason"], revoked["log_size"]) == ("compromised", report["log_size"])


def test_of_two_reports_the_earlier_theft_counts(service: RunningService, command: Command) -> None:
    signs = kid(new_receipt(service.person()))
    with service.vault.register.store.read() as session:
        made = session.connection().exec_driver_sql(
            "SELECT made_at FROM log_signing_keys WHERE thumbprint = ?", (signs,)
        )
        made_at = datetime.fromisoformat(made.scalar_one()).replace(tzinfo=UTC)
    early = document(
        command("keys", "stolen", signs, "--since", (made_at + timedelta(seconds=1)).isoformat(), "--json")
    )

    late = document(command("keys", "stolen", signs, "--since", datetime.now(UTC).isoformat(), "--json"))

    assert (late["stolen_at"], late["log_size"]) == (early["stolen_at"], early["log_size"])
    assert late["now_signs"] == early["now_signs"], "it is rotated once"


def test_signing_goes_on_after_a_rotation_of_the_key_encryption_key(service: RunningService, command: Command) -> None:
    person = service.person()
    assert command("keys", "rotate").exit_code == 0
    new = document(command("keys", "rotate-receipts", "--json"))["kid"]
    assert command("keys", "rotate").exit_code == 0
    receipt = new_receipt(person)
    add_to_log(service, receipt)

    assert kid(receipt) == new
    assert verdict(service, receipt)["valid"]
    verifier = Verifier.from_vkey(document(command("keys", "list", "--json"))["vkey"])
    assert open_checkpoint(service.client.get("/v1/log/checkpoint").text, verifier).size > 0


def test_the_listed_keys_are_the_published_keys(service: RunningService, command: Command) -> None:
    signs = kid(new_receipt(service.person()))
    document(command("keys", "rotate-receipts", "--json"))
    listed = document(command("keys", "list", "--json"))["keys"]
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
def test_a_time_without_a_zone_is_wrong_usage(root: Path, command: Command, since: str) -> None:
    result = command("keys", "stolen", "A" * 43, "--since", since)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "2026-11-23T12:00:00Z" in " ".join(result.stderr.replace("│", " ").split())


def test_an_unknown_key_or_an_impossible_time_is_refused(root: Path, command: Command) -> None:
    listed = document(command("keys", "list", "--json"))["keys"]
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
    assert document(command("keys", "list", "--json"))["keys"] == listed, "no key was rotated"
