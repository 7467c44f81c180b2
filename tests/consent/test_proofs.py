"""A consent leaves a proof that it existed, found by its id, without the person, and deleted after its retention."""

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
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card

PROOFS = "proofs of consent"


@pytest.fixture
def short_retention_service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A service that keeps proofs for ten days."""
    with serving(root, pool, toy_card(), proof_retention=timedelta(days=10)) as running:
        yield running


def get_proof(service: RunningService, consent: dict[str, Any]) -> httpx.Response:
    return service.client.get(f"/v1/consent-proofs/{consent['consent_id']}")


def count_proofs(service: RunningService) -> int:
    ((found,),) = rows(in_file(service.vault.data).path, "SELECT count(*) FROM consent_proofs")
    return int(found)


def test_a_holder_of_the_id_sees_notice_purpose_party_and_two_days(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    today = service.clock().date().isoformat()
    during = get_proof(service, consent).json()
    service.clock.advance(days=2)
    person("DELETE", "/v1/me")
    after = get_proof(service, consent)

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
def test_another_id_finds_no_proof(service: RunningService, unknown: str) -> None:
    person, _, _ = service.enrolled(face=1)
    proof_id = person.subject_id if unknown == "subject" else unknown

    assert service.client.get(f"/v1/consent-proofs/{proof_id}").status_code == 404


def test_a_proof_contains_no_id_of_the_person_or_the_consent(service: RunningService) -> None:
    """Without the consent's id, a proof cannot be linked to the consent in an old backup."""
    person, _, consent = service.enrolled(face=1)
    needles = Needles().id("consent", consent["consent_id"]).id("subject", person.subject_id)
    needles.text("reference", consent["subject_ref"])
    before = needles.found(files_under(service.root))
    person("DELETE", "/v1/me")

    assert len({found.split(" in ")[0] for found in before}) == 3
    assert needles.found(files_under(service.root)) == []
    assert count_proofs(service) == 1
    assert get_proof(service, consent).status_code == 200


def test_the_rows_have_no_order_of_time(service: RunningService) -> None:
    """Row numbers would keep the order in which consents were given, and so link people who came together."""
    person = service.person()
    for name in "ABCDEFGH":
        service.consent(person, service.party(name))
    with closing(sqlite3.connect(in_file(service.vault.data).path)) as connection:
        digests = [row[0] for row in connection.execute("SELECT digest FROM consent_proofs")]
        with pytest.raises(sqlite3.OperationalError, match="rowid"):
            connection.execute("SELECT rowid FROM consent_proofs")

    assert digests == sorted(digests)


def test_an_erasure_lists_proofs_under_kept_and_access_lists_them(service: RunningService) -> None:
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
    assert "1095 days" in kept[PROOFS]["why"]
    assert any("the proof that a consent existed" in rule["what"] for rule in policy)


def test_a_refusal_leaves_no_proof(service: RunningService) -> None:
    person, party = service.person(), service.party()
    refused = service.consent(person, party, decision="refused")

    assert get_proof(service, refused).status_code == 404
    assert count_proofs(service) == 0


def test_a_proof_is_deleted_after_its_retention_and_not_before(short_retention_service: RunningService) -> None:
    person, _, consent = short_retention_service.enrolled(face=1)
    erased = person("DELETE", "/v1/me").json()
    other = short_retention_service.consent(short_retention_service.person(), short_retention_service.party("Gate"))
    deleted, found, kept = [], [], []
    for days in (10, 1):
        short_retention_service.clock.advance(days=days)
        deleted.append(
            run_maintenance(
                short_retention_service.vault,
                settings=short_retention_service.settings,
                now=short_retention_service.clock(),
            ).proofs_deleted
        )
        found.append(get_proof(short_retention_service, consent).status_code)
        state = short_retention_service.client.get(f"/v1/erasures/{erased['erasure_id']}").json()
        kept.append(PROOFS in {one["what"] for one in state["kept"]})

    assert (deleted, found, kept) == ([0, 1], [200, 404], [True, False])
    assert get_proof(short_retention_service, other).json()["ended_on"] is None, "a consent in force keeps its proof"


def test_an_expired_consent_ended_at_its_expiry(short_retention_service: RunningService) -> None:
    person, party = short_retention_service.person(), short_retention_service.party()
    end = (short_retention_service.clock() + timedelta(days=5)).replace(microsecond=0)
    consent = short_retention_service.consent(person, party, valid_until=end.isoformat())
    short_retention_service.clock.advance(days=8)
    run_maintenance(
        short_retention_service.vault, settings=short_retention_service.settings, now=short_retention_service.clock()
    )

    assert get_proof(short_retention_service, consent).json()["ended_on"] == end.date().isoformat()


def test_without_retention_no_proof_is_written(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), proof_retention=timedelta()) as service:
        person, _, consent = service.enrolled(face=1)
        during, listed = get_proof(service, consent).status_code, person("GET", "/v1/me/access").json()["proofs"]
        policy = service.client.get("/v1/retention-policy").json()["items"]
        erased = person("DELETE", "/v1/me").json()
        found = count_proofs(service)

    assert (during, listed, found) == (404, [], 0)
    assert PROOFS not in {one["what"] for one in erased["kept"]}
    assert not any("proof" in rule["what"] for rule in policy)


def test_switching_retention_off_deletes_existing_proofs(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        _, _, consent = service.enrolled(face=1)
        before = count_proofs(service)
    with serving(root, pool, toy_card(), proof_retention=timedelta()) as service:
        run_maintenance(service.vault, settings=service.settings, now=service.clock())
        after = get_proof(service, consent).status_code

    assert (before, after) == (1, 404)


@pytest.mark.parametrize(("written", "days"), [("P3Y", 1095), ("P90D", 90), ("0", 0), ("30", 30), ("P0D", 0)])
def test_the_setting_is_a_duration_or_whole_days(monkeypatch: pytest.MonkeyPatch, written: str, days: int) -> None:
    monkeypatch.setenv("MIEN_PROOF_RETENTION", written)

    assert Settings().proof_retention == timedelta(days=days)
