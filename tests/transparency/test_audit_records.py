"""The audit of the entries and receipts of people who used a service."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from app.kit.clock import utc_now
from app.transparency.audit.findings import FindingKind
from app.transparency.log import batch
from app.vault.register import Owner
from tests.support.service_fixture import FOR_EVER, SharedPool, copied, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.transparency.tampered_logs import first_finding, open_stores, run_audit, tampered_store


@pytest.fixture(scope="session")
def used(prepared: Path, tmp_path_factory: pytest.TempPathFactory, toy_pool: SharedPool) -> Path:
    """A service that two people used. Half of their acts are in the log, and half are pending."""
    toy_pool.reset()
    root = copied(prepared, tmp_path_factory.mktemp("used") / "service")
    with serving(root, toy_pool, toy_card()) as service:
        person, party, consent = service.enrolled()
        service.enrolled(2, party=party)
        assert party.verify(consent["subject_ref"], toy_photo(1)).status_code == 200
        batch.append_batch(service.vault, settings=service.settings, now=service.clock(), at_once=True)
        assert party.verify(consent["subject_ref"], toy_photo(2)).status_code == 200
        assert person("PUT", "/v1/me/restriction").status_code == 200
        assert service.vault.checkpoint_all()
    return root


@pytest.fixture
def root(used: Path, tmp_path: Path) -> Path:
    return copied(used, tmp_path / "service")


def test_all_acts_are_in_the_log_or_pending(root: Path) -> None:
    report = run_audit(root, now=utc_now())

    assert (report.findings, report.warnings) == ((), ())
    assert report.checked.entries >= 4
    assert report.checked.receipts >= 3
    assert report.checked.unreadable == 0


def test_receipts_pending_after_their_promised_time_give_a_warning(root: Path) -> None:
    report = run_audit(root, now=utc_now() + timedelta(seconds=3 * FOR_EVER))

    assert report.findings == ()
    assert "promise" in report.warnings[0]


@pytest.mark.parametrize("table", ["entries", "receipts"])
def test_a_deleted_record_is_found_by_the_next_one_of_its_subject(root: Path, table: str) -> None:
    with tampered_store(root, "data/mien.db") as tampered:
        tampered(
            f"DELETE FROM {table} WHERE position = 1 AND subject_id IN"  # noqa: S608 - one of two tables
            f" (SELECT subject_id FROM {table} WHERE position = 2)"
        )
    found = run_audit(root, now=utc_now()).findings

    assert {finding.kind for finding in found} == {FindingKind.RECORD_MISSING}
    assert table in found[0].what


@pytest.mark.parametrize("table", ["entries", "receipts"])
def test_a_record_without_a_leaf_is_found(root: Path, table: str) -> None:
    with tampered_store(root, "data/mien.db") as tampered:
        tampered("DELETE FROM pending_leaves")

    found = run_audit(root, now=utc_now()).findings

    assert {finding.kind for finding in found} == {FindingKind.RECORD_NOT_IN_LOG}
    assert any(f"the table {table}" in finding.what for finding in found)


@pytest.mark.parametrize("table", ["entries", "receipts"])
def test_a_record_in_the_wrong_row_is_found(root: Path, table: str) -> None:
    with tampered_store(root, "data/mien.db") as tampered:
        tampered(
            f"UPDATE {table} SET sealed = (SELECT sealed FROM {table} AS other WHERE other.id <> {table}.id LIMIT 1)"  # noqa: S608 - one of two tables
            f" WHERE id = (SELECT id FROM {table} LIMIT 1)"
        )

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.RECORD_CHANGED, None)
    assert f"the table {table}" in found.what


def test_a_receipt_by_an_unknown_key_is_found(root: Path) -> None:
    with tampered_store(root) as tampered:
        tampered("DELETE FROM log_signing_keys WHERE signs = 'receipts'")

    found = first_finding(root)

    assert found.kind is FindingKind.RECORD_CHANGED
    assert "no key of this service" in found.what


def test_records_with_a_destroyed_key_are_counted_and_no_fault(root: Path) -> None:
    with open_stores(root) as vault:
        with vault.data.read() as session:
            subject_id = session.connection().exec_driver_sql("SELECT subject_id FROM entries LIMIT 1").scalar_one()
        vault.register.destroy_key(Owner.subject(UUID(subject_id)), 1)

    report = run_audit(root, now=utc_now())

    assert report.findings == ()
    assert report.checked.unreadable > 0


def test_a_changed_pending_record_is_found(root: Path) -> None:
    with tampered_store(root, "data/mien.db") as tampered:
        tampered(
            "UPDATE pending_leaves SET record = '{}', salt = zeroblob(32) WHERE leaf IN"
            " (SELECT leaf FROM pending_leaves LIMIT 1)"
        )

    assert FindingKind.RECORD_CHANGED in {finding.kind for finding in run_audit(root, now=utc_now()).findings}
