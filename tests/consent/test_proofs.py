"""A consent leaves a proof that it existed: found by who holds its id, naming nobody, and gone after its time."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.jobs.maintenance import run_maintenance
from app.settings import Settings
from tests.support.byte_scan import Needles, files_under, rows
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card

KEPT = "proofs of consent"


@pytest.fixture
def forgetful(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """Serve with proofs that are kept for ten days."""
    with serving(root, pool, toy_card(), proof_retention=timedelta(days=10)) as running:
        yield running


def proof_of(service: RunningService, consent: dict[str, Any]) -> httpx.Response:
    return service.client.get(f"/v1/consent-proofs/{consent['consent_id']}")


def count(service: RunningService) -> int:
    ((found,),) = rows(service.vault.data.path, "SELECT count(*) FROM consent_proofs")
    return int(found)


def test_who_holds_the_id_sees_text_purpose_party_and_two_days(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    today = service.clock().date().isoformat()
    during = proof_of(service, consent).json()
    service.clock.advance(days=2)
    person("DELETE", "/v1/me")
    after = proof_of(service, consent)

    assert during == {
        "consent_id": consent["consent_id"],
        "purpose": "verification",
        "relying_party_id": party.id,
        "notice_sha256": consent["notice_sha256"],
        "given_on": today,
        "ended_on": None,
    }
    assert after.json() == {**during, "ended_on": service.clock().date().isoformat()}
    assert after.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("unknown", ["00000000-0000-4000-8000-000000000000", "subject"])
def test_who_does_not_hold_the_id_finds_nothing(service: RunningService, unknown: str) -> None:
    person, _, _ = service.enrolled(face=1)
    asked = person.subject_id if unknown == "subject" else unknown

    assert service.client.get(f"/v1/consent-proofs/{asked}").status_code == 404


def test_proof_holds_no_id_of_the_person_or_the_consent(service: RunningService) -> None:
    """Not even the consent's own: without it nobody goes from a proof to what an old backup has of that consent."""
    person, _, consent = service.enrolled(face=1)
    needles = Needles().id("consent", consent["consent_id"]).id("subject", person.subject_id)
    needles.text("reference", consent["subject_ref"])
    there = needles.found(files_under(service.root))
    person("DELETE", "/v1/me")

    assert len({found.split(" in ")[0] for found in there}) == 3
    assert needles.found(files_under(service.root)) == []
    assert count(service) == 1
    assert proof_of(service, consent).status_code == 200


def test_order_of_the_rows_tells_nothing(service: RunningService) -> None:
    """A table with a row number would keep the order in which consents were given: who came with whom."""
    person = service.person()
    for name in "ABCDEFGH":
        service.consent(person, service.party(name))
    with closing(sqlite3.connect(service.vault.data.path)) as connection:
        digests = [row[0] for row in connection.execute("SELECT digest FROM consent_proofs")]
        with pytest.raises(sqlite3.OperationalError, match="rowid"):
            connection.execute("SELECT rowid FROM consent_proofs")

    assert digests == sorted(digests)


def test_erasure_names_it_under_kept_and_access_lists_it(service: RunningService) -> None:
    person, _, consent = service.enrolled(face=1)
    withdrawn = service.consent(person, service.party("Gate"))
    person("DELETE", f"/v1/me/consents/{withdrawn['consent_id']}")
    today = service.clock().date()
    listed = {proof["consent_id"]: proof for proof in person("GET", "/v1/me/access").json()["proofs"]}
    policy = service.client.get("/v1/retention-policy").json()["items"]
    kept = {one["what"]: one for one in person("DELETE", "/v1/me").json()["kept"]}

    assert set(listed) == {consent["consent_id"], withdrawn["consent_id"]}
    assert (listed[consent["consent_id"]]["ended_on"], listed[consent["consent_id"]]["kept_until"]) == (None, None)
    assert listed[withdrawn["consent_id"]]["kept_until"] == (today + timedelta(days=1095)).isoformat()
    assert "1095 days" in kept[KEPT]["why"]
    assert any("the proof that a consent existed" in rule["what"] for rule in policy)


def test_refusal_leaves_no_proof(service: RunningService) -> None:
    person, party = service.person(), service.party()
    refused = service.consent(person, party, decision="refused")

    assert proof_of(service, refused).status_code == 404
    assert count(service) == 0


def test_proof_goes_after_its_time_and_not_before(forgetful: RunningService) -> None:
    person, _, consent = forgetful.enrolled(face=1)
    erased = person("DELETE", "/v1/me").json()
    other = forgetful.consent(forgetful.person(), forgetful.party("Gate"))
    swept, found, kept = [], [], []
    for days in (10, 1):
        forgetful.clock.advance(days=days)
        swept.append(
            run_maintenance(forgetful.vault, settings=forgetful.settings, now=forgetful.clock()).proofs_deleted
        )
        found.append(proof_of(forgetful, consent).status_code)
        state = forgetful.client.get(f"/v1/erasures/{erased['erasure_id']}").json()
        kept.append(KEPT in {one["what"] for one in state["kept"]})

    assert (swept, found, kept) == ([0, 1], [200, 404], [True, False])
    assert proof_of(forgetful, other).json()["ended_on"] is None, "a consent in force keeps its proof"


def test_expired_consent_ended_when_it_expired(forgetful: RunningService) -> None:
    person, party = forgetful.person(), forgetful.party()
    end = (forgetful.clock() + timedelta(days=5)).replace(microsecond=0)
    consent = forgetful.consent(person, party, valid_until=end.isoformat())
    forgetful.clock.advance(days=8)
    run_maintenance(forgetful.vault, settings=forgetful.settings, now=forgetful.clock())

    assert proof_of(forgetful, consent).json()["ended_on"] == end.date().isoformat()


def test_without_retention_no_proof_is_ever_written(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), proof_retention=timedelta()) as service:
        person, _, consent = service.enrolled(face=1)
        during, listed = proof_of(service, consent).status_code, person("GET", "/v1/me/access").json()["proofs"]
        policy = service.client.get("/v1/retention-policy").json()["items"]
        erased = person("DELETE", "/v1/me").json()
        found = count(service)

    assert (during, listed, found) == (404, [], 0)
    assert KEPT not in {one["what"] for one in erased["kept"]}
    assert not any("proof" in rule["what"] for rule in policy)


def test_retention_that_is_switched_off_takes_the_proofs_there_are(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        _, _, consent = service.enrolled(face=1)
        before = count(service)
    with serving(root, pool, toy_card(), proof_retention=timedelta()) as service:
        run_maintenance(service.vault, settings=service.settings, now=service.clock())
        after = proof_of(service, consent).status_code

    assert (before, after) == (1, 404)


@pytest.mark.parametrize(("written", "days"), [("P3Y", 1095), ("P90D", 90), ("0", 0), ("30", 30), ("P0D", 0)])
def test_setting_is_a_duration_or_whole_days(monkeypatch: pytest.MonkeyPatch, written: str, days: int) -> None:
    monkeypatch.setenv("MIEN_PROOF_RETENTION", written)

    assert Settings().proof_retention == timedelta(days=days)
