"""Two years of a service, in steps: data from the start is gone or renewed, as the policy says.

No operator takes part: the running service's maintenance runs end the data.
"""

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.jobs import maintenance
from app.jobs.maintenance import run_maintenance
from app.transparency.log import batch
from tests.support.byte_scan import Needles, files_under, rows
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.transparency.tampered_logs import run_audit

pytestmark = pytest.mark.slow

MONTH, MONTHS = 30, 25
SETTINGS: dict[str, Any] = {
    "sweep_interval_s": 0.05,
    "erasure_retention": timedelta(days=365),
    "proof_retention": timedelta(days=180),
}


@dataclass
class Sweeps:
    """Counts those of the service, so that one can wait for the next."""

    done: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, *given: Any, **more: Any) -> None:
        run_maintenance(*given, **more)
        with self.changed:
            self.done += 1
            self.changed.notify_all()

    def wait(self) -> None:
        """Wait for one that began after this."""
        with self.changed:
            wanted = self.done + 2
            assert self.changed.wait_for(lambda: self.done >= wanted, timeout=300)


@dataclass
class Town:
    """Who was there at the start."""

    door: Party
    ada: Person
    hers: dict[str, Any]
    ben: Person
    his: dict[str, Any]
    dee: Person
    short: dict[str, Any]
    old_device: Person
    erased: str
    proof: str


def settled(service: RunningService) -> Town:
    ada, door, hers = service.enrolled(face=1)
    ben, _, his = service.enrolled(face=2, party=door)
    dee, cem = service.person("Dee"), service.person("Cem")
    ends = (service.clock() + timedelta(days=90)).isoformat()
    short = service.consent(dee, door, valid_until=ends)
    assert enrol(dee, [short["consent_id"]], [toy_photo(3)]).status_code == 201
    proof = service.consent(cem, door)["consent_id"]
    erased = cem("DELETE", "/v1/me").json()["erasure_id"]
    token = ada("POST", "/v1/me/tokens").json()["access_token"]
    old_device = Person(service.client, ada.subject_id, token, ada.recovery_code)
    return Town(door, ada, hers, ben, his, dee, short, old_device, erased, proof)


def live_a_month(service: RunningService, town: Town) -> int:
    """Play one month of Ada's life; return the number of consents she renewed."""
    town.ada("GET", "/v1/me/access").raise_for_status()
    town.door.verify(town.hers["subject_ref"], toy_photo(1)).raise_for_status()
    due = town.ada("GET", "/v1/me").json()["renewals_due"]
    for one in due:
        body = {"notice_sha256": one["notice_sha256"]}
        town.ada("POST", f"/v1/me/consents/{one['consent_id']}/renewal", json=body).raise_for_status()
    return len(due)


def of(service: RunningService, consent: dict[str, Any]) -> Needles:
    """Return the bytes that the files contain for a consent in force."""
    needles = Needles().id("consent", consent["consent_id"]).text("reference", consent["subject_ref"])
    for (sealed,) in rows(
        service.vault.data.path, "SELECT sealed FROM templates WHERE grant_id = ?", UUID(consent["consent_id"]).hex
    ):
        needles.raw("template", sealed)
    return needles


def kinds(person: Person) -> list[str]:
    found = person("GET", "/v1/me/receipts", params={"limit": 200}).json()["items"]
    return [one["kind"] for one in found]


def valid(service: RunningService, person: Person) -> set[bool]:
    """Say of each of the person's receipts whether it holds, with its proof."""
    found = person("GET", "/v1/me/receipts", params={"limit": 200}).json()["items"]
    assert all("proof" in one["receipt"] for one in found)
    verdicts = [service.client.post("/v1/receipts/verify", json={"receipt": one["receipt"]}).json() for one in found]
    return {one["valid"] for one in verdicts}


def test_after_two_years_all_is_gone_or_renewed(root: Path, pool: SharedPool, monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps = Sweeps()
    monkeypatch.setattr(maintenance, "run_maintenance", sweeps)
    with serving(root, pool, toy_card(), **SETTINGS) as service:
        town, began = settled(service), service.clock()
        gone = [of(service, town.his), of(service, town.short)]
        stays = of(service, town.hers)
        there = [bool(one.found(files_under(root))) for one in (*gone, stays)]
        renewed = 0
        for _ in range(MONTHS):
            renewed += live_a_month(service, town)
            service.clock.advance(days=MONTH)
            sweeps.wait()
        shortened = town.ada("DELETE", "/v1/me/comparisons", params={"before": str(began.date() + timedelta(days=365))})
        lines = town.ada("GET", "/v1/me/comparisons").json()["items"]
        counts = town.ada("GET", "/v1/me/access").json()["data"]["access_counts"]
        batch.append_batch(service.vault, now=service.clock(), at_once=True)

        assert there == [True] * 3
        assert renewed == 2
        assert town.door.verify(town.hers["subject_ref"], toy_photo(1)).json()["decision"] == "match"
        assert kinds(town.ada).count("consent_given") == 3
        for person, consent in ((town.ben, town.his), (town.dee, town.short)):
            assert kinds(person) == ["consent_expired", "consent_given"]
            assert town.door.verify(consent["subject_ref"], toy_photo(2)).status_code == 404
            assert valid(service, person) == {True}
        assert valid(service, town.ada) == {True}
        assert town.old_device("GET", "/v1/me").status_code == 401
        assert service.client.get(f"/v1/erasures/{town.erased}").status_code == 404
        assert service.client.get(f"/v1/consent-proofs/{town.proof}").status_code == 404
        assert shortened.json()["deleted"] == 13
        assert all(datetime.fromisoformat(one["at"]) >= began + timedelta(days=364) for one in lines)
        assert min(one["on_day"] for one in counts) >= str((service.clock() - timedelta(days=400)).date())
        now = service.clock()

    found = run_audit(root, now=now)
    assert found.findings == ()
    assert found.checked.receipts >= 7
    assert [one.found(files_under(root)) for one in gone] == [[], []]
    assert stays.found(files_under(root)), "hers is there, and can be found"
