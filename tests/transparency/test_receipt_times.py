"""Receipts of one subject share no time that would link them."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.jobs.maintenance import run_maintenance
from tests.support.service_fixture import FOR_EVER, RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.vault.operator import make_backup, restore


@pytest.fixture
def service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A service without scheduled maintenance."""
    with serving(root, pool, toy_card(), sweep_interval_s=FOR_EVER) as running:
        yield running


def content(receipt: dict[str, Any]) -> dict[str, Any]:
    payload = receipt["jws"].split(".")[1]
    fields: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return fields


def test_the_receipt_of_an_expiry_has_only_the_day_of_the_chosen_end(service: RunningService) -> None:
    person, party = service.person(), service.party()
    chosen = (service.clock() + timedelta(days=9)).replace(hour=13, minute=37, second=42, microsecond=0)
    given = content(service.consent(person, party, valid_until=chosen.isoformat())["receipt"])
    service.clock.advance(days=10)
    run_maintenance(service.vault, settings=service.settings, now=service.clock())
    expired = content(person("GET", "/v1/me/receipts").json()["items"][0]["receipt"])

    assert given["event"]["validity_duration"].endswith("/" + chosen.strftime("%Y-%m-%dT13:37:42Z"))
    assert expired["kind"] == "consent_expired"
    assert expired["event"]["event_time"] == chosen.date().isoformat()


def test_the_receipt_of_a_withdrawal_that_a_restore_records_has_only_the_day(
    root: Path, pool: SharedPool, tmp_path: Path
) -> None:
    with serving(root, pool, toy_card()) as before:
        person, party = before.person(), before.party()
        consent = before.consent(person, party)
        make_backup(root, tmp_path / "backup")
        ended = person("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()["event_time"]
    restore(root, tmp_path / "backup")
    with serving(root, pool, toy_card()) as after:
        person.client = after.client
        again = content(person("GET", "/v1/me/receipts").json()["items"][0]["receipt"])

    assert again["kind"] == "consent_withdrawn"
    assert again["event"]["event_time"] == ended[:10]
