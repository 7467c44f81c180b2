"""Two years of a service, in steps: data from the start is deleted or renewed, as the policy states.

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
from tests.support.sqlite_stores import in_file
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
class MaintenanceRuns:
    """Counts the maintenance runs of the service."""

    done: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, *args: Any, **more: Any) -> None:
        run_maintenance(*args, **more)
        with self.changed:
            self.done += 1
            self.changed.notify_all()

    def wait(self) -> None:
        """Wait for a run that began after this call."""
        with self.changed:
            target = self.done + 2
            assert self.changed.wait_for(lambda: self.done >= target, timeout=300)


@dataclass
class Scenario:
    """The people and consents at the start."""

    door: Party
    ada: Person
    adas_consent: dict[str, Any]
    ben: Person
    bens_consent: dict[str, Any]
    dee: Person
    short_consent: dict[str, Any]
    old_device: Person
    erased: str
    proof: str


def create_scenario(service: RunningService) -> Scenario:
    ada, door, adas_consent = service.enrolled(face=1)
    ben, _, bens_consent = service.enrolled(face=2, party=door)
    dee, cem = service.person("Dee"), service.person("Cem")
    ends = (service.clock() + timedelta(days=90)).isoformat()
    short_consent = service.consent(dee, door, valid_until=ends)
    assert enrol(dee, [short_consent["consent_id"]], [toy_photo(3)]).status_code == 201
    proof = service.consent(cem, door)["consent_id"]
    erased = cem("DELETE", "/v1/me").json()["erasure_id"]
    token = ada("POST", "/v1/me/tokens").json()["access_token"]
    old_device = Person(service.client, ada.subject_id, token, ada.recovery_code)
    return Scenario(door, ada, adas_consent, ben, bens_consent, dee, short_consent, old_device, erased, proof)


def live_a_month(service: RunningService, scenario: Scenario) -> int:
    """Let Ada use the service for a month. Returns the number of consents that she renewed."""
    scenario.ada("GET", "/v1/me/access").raise_for_status()
    scenario.door.verify(scenario.adas_consent["subject_ref"], toy_photo(1)).raise_for_status()
    due = scenario.ada("GET", "/v1/me").json()["renewals_due"]
    for one in due:
        body = {"notice_sha256": one["notice_sha256"]}
        scenario.ada("POST", f"/v1/me/consents/{one['consent_id']}/renewal", json=body).raise_for_status()
    return len(due)


def of(service: RunningService, consent: dict[str, Any]) -> Needles:
    """Return the bytes that the files contain for a consent in force."""
    needles = Needles().id("consent", consent["consent_id"]).text("reference", consent["subject_ref"])
    for (sealed,) in rows(
        in_file(service.vault.data).path,
        "SELECT sealed FROM templates WHERE grant_id = ?",
        UUID(consent["consent_id"]).hex,
    ):
        needles.raw("template", sealed)
    return needles


def kinds(person: Person) -> list[str]:
    found = person("GET", "/v1/me/receipts", params={"limit": 200}).json()["items"]
    return [one["kind"] for one in found]


def valid(service: RunningService, person: Person) -> set[bool]:
    """Verify each receipt of the person, with its proof."""
    found = person("GET", "/v1/me/receipts", params={"limit": 200}).json()["items"]
    assert all("proof" in one["receipt"] for one in found)
    verdicts = [service.client.post("/v1/receipts/verify", json={"receipt": one["receipt"]}).json() for one in found]
    return {one["valid"] for one in verdicts}


def test_after_two_years_all_data_is_deleted_or_renewed(
    root: Path, pool: SharedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = MaintenanceRuns()
    monkeypatch.setattr(maintenance, "run_maintenance", runs)
    with serving(root, pool, toy_card(), **SETTINGS) as service:
        scenario, began = create_scenario(service), service.clock()
        gone = [of(service, scenario.bens_consent), of(service, scenario.short_consent)]
        stays = of(service, scenario.adas_consent)
        there = [bool(one.found(files_under(root))) for one in (*gone, stays)]
        renewed = 0
        for _ in range(MONTHS):
            renewed += live_a_month(service, scenario)
            service.clock.advance(days=MONTH)
            runs.wait()
        shortened = scenario.ada(
            "DELETE", "/v1/me/comparisons", params={"before": str(began.date() + timedelta(days=365))}
        )
        lines = scenario.ada("GET", "/v1/me/comparisons").json()["items"]
        counts = scenario.ada("GET", "/v1/me/access").json()["data"]["access_counts"]
        batch.append_batch(service.vault, settings=service.settings, now=service.clock(), at_once=True)

        assert there == [True] * 3
        assert renewed == 2
        assert scenario.door.verify(scenario.adas_consent["subject_ref"], toy_photo(1)).json()["decision"] == "match"
        assert kinds(scenario.ada).count("consent_given") == 3
        for person, consent in ((scenario.ben, scenario.bens_consent), (scenario.dee, scenario.short_consent)):
            assert kinds(person) == ["consent_expired", "consent_given"]
            assert scenario.door.verify(consent["subject_ref"], toy_photo(2)).status_code == 404
            assert valid(service, person) == {True}
        assert valid(service, scenario.ada) == {True}
        assert scenario.old_device("GET", "/v1/me").status_code == 401
        assert service.client.get(f"/v1/erasures/{scenario.erased}").status_code == 404
        assert service.client.get(f"/v1/consent-proofs/{scenario.proof}").status_code == 404
        assert shortened.json()["deleted"] == 13
        assert all(datetime.fromisoformat(one["at"]) >= began + timedelta(days=364) for one in lines)
        assert min(one["on_day"] for one in counts) >= str((service.clock() - timedelta(days=400)).date())
        now = service.clock()

    found = run_audit(root, now=now)
    assert found.findings == ()
    assert found.checked.receipts >= 7
    assert [one.found(files_under(root)) for one in gone] == [[], []]
    assert stays.found(files_under(root)), "the template in force is found"
