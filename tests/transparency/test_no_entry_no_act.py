"""An act whose entry cannot be written does not happen. Rights to read are answered all the same."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy.exc import IntegrityError

from app.jobs.maintenance import run_maintenance
from app.vault.vault import Vault
from tests.consent.spies import change_row, everything
from tests.enrolment.engine_change import FlawPool, run_renewal, supersede
from tests.support.changed_schema import accept_any_schema
from tests.support.service_fixture import SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.transparency.pending_leaves import EnrolledCase

Request = Callable[[EnrolledCase], httpx.Response]
Break = Callable[[Vault], AbstractContextManager[None]]


@pytest.fixture
def case(root: Path, pool: SharedPool) -> Iterator[EnrolledCase]:
    with serving(root, pool, toy_card()) as service:
        yield EnrolledCase(service, *service.enrolled(face=1))


@contextmanager
def full_disk(vault: Vault) -> Iterator[None]:
    """Refuse each leaf, as a full disk does."""
    accept_any_schema(vault.data)
    refuse = "BEFORE INSERT ON pending_leaves BEGIN SELECT RAISE(ABORT, 'full'); END"
    change_row(vault, f"CREATE TRIGGER full {refuse}")
    try:
        yield
    finally:
        change_row(vault, "DROP TRIGGER full")


@contextmanager
def missing_table(vault: Vault) -> Iterator[None]:
    accept_any_schema(vault.data)
    change_row(vault, "ALTER TABLE pending_leaves RENAME TO gone")
    try:
        yield
    finally:
        change_row(vault, "ALTER TABLE gone RENAME TO pending_leaves")


def decide(case: EnrolledCase, decision: str, *, party: str | None = None) -> httpx.Response:
    body = {"purpose": "verification", "relying_party_id": party or case.party.id, "decision": decision}
    return case.person("POST", "/v1/me/consents", json={**body, "notice_sha256": case.service.notice("verification")})


def delete_enrolment(case: EnrolledCase) -> httpx.Response:
    (one,) = case.person("GET", "/v1/me/enrolments").json()["items"]
    return case.person("DELETE", f"/v1/me/enrolments/{one['enrolment_id']}")


ACTS: dict[str, Request] = {
    "refusing": lambda case: decide(case, "refused"),
    "withdrawing": lambda case: case.person("DELETE", case.address),
    "enrolling": lambda case: enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)]),
    "deleting an enrolment": delete_enrolment,
    "verifying": lambda case: case.party.verify(case.consent["subject_ref"], toy_photo(1)),
    "restricting": lambda case: case.person("PUT", "/v1/me/restriction"),
    "rectifying": lambda case: case.person("PATCH", "/v1/me", json={"display_name": "Ada"}),
}


def all_rows(vault: Vault) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of both stores, without the tables of SQLite itself."""
    return {name: found for name, found in everything(vault).items() if "sqlite" not in name}


@pytest.mark.parametrize("broken", [full_disk, missing_table])
@pytest.mark.parametrize("name", ACTS)
def test_without_its_entry_an_act_does_not_happen(shared_case: EnrolledCase, name: str, broken: Break) -> None:
    vault = shared_case.service.vault
    with broken(vault):
        before = all_rows(vault)
        answer = ACTS[name](shared_case)
        after = all_rows(vault)

    assert (answer.status_code, answer.json()["type"]) == (503, "urn:mien:problem:storage-unavailable")
    assert after == before


def test_without_its_entry_a_consent_is_not_given(shared_case: EnrolledCase) -> None:
    vault, gate = shared_case.service.vault, shared_case.service.party(f"Gate {uuid4()}")
    with full_disk(vault):
        before = all_rows(vault)
        answer = decide(shared_case, "given", party=gate.id)
        after = all_rows(vault)

    assert answer.status_code == 503
    assert after == before


def test_without_its_entry_a_restriction_is_not_lifted(shared_case: EnrolledCase) -> None:
    vault = shared_case.service.vault
    shared_case.person("PUT", "/v1/me/restriction").raise_for_status()
    with full_disk(vault):
        before = all_rows(vault)
        answer = shared_case.person("DELETE", "/v1/me/restriction")
        after = all_rows(vault)

    assert answer.status_code == 503
    assert after == before


def test_without_its_entry_an_expiry_is_not_recorded(case: EnrolledCase) -> None:
    """The consent is over by the clock all the same: no comparison uses it."""
    case.service.clock.advance(days=400)
    with full_disk(case.service.vault):
        with pytest.raises(IntegrityError, match="full"):
            run_maintenance(case.service.vault, settings=case.service.settings, now=case.service.clock())

        assert case.party.verify(case.consent["subject_ref"], toy_photo(1)).status_code == 404
        assert len(all_rows(case.service.vault)["mien.grants"]) == 1


def change_engine(case: EnrolledCase) -> None:
    supersede(case.service)


def end_templates(case: EnrolledCase) -> None:
    run_maintenance(case.service.vault, settings=case.service.settings, now=case.service.clock() + timedelta(days=91))


def renew(case: EnrolledCase) -> None:
    run_renewal(case.service)


def fail_to_renew(case: EnrolledCase) -> None:
    run_renewal(case.service, pool=FlawPool())


@pytest.mark.parametrize("act", [change_engine, end_templates, renew, fail_to_renew])
def test_without_its_entry_a_change_of_the_engine_has_no_effect(
    case: EnrolledCase, act: Callable[[EnrolledCase], None]
) -> None:
    case.service.consent(case.person, None, purpose="template_renewal")
    answer = enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)], keep_photos="true")
    assert answer.status_code == 201
    if act is not change_engine:
        supersede(case.service)
    names = ("mien.engines", "mien.templates", "mien.photos", "mien.entries")
    with full_disk(case.service.vault):
        before = all_rows(case.service.vault)
        with pytest.raises(IntegrityError, match="full"):
            act(case)
        after = all_rows(case.service.vault)

    assert {name: after[name] for name in names} == {name: before[name] for name in names}
    act(case)
    done = all_rows(case.service.vault)
    assert done["mien.engines"] != before["mien.engines"] or done["mien.entries"] != before["mien.entries"]


def test_each_act_happens_when_its_entry_can_be_written(shared_case: EnrolledCase) -> None:
    """The control: the missing entry alone stops these acts."""
    names = ("rectifying", "verifying", "enrolling", "deleting an enrolment", "withdrawing", "restricting")
    answers = {name: ACTS[name](shared_case).status_code for name in names}

    assert set(answers.values()) <= {200, 201}


@pytest.mark.parametrize("broken", [full_disk, missing_table])
def test_rights_to_read_need_no_entry(shared_case: EnrolledCase, broken: Break) -> None:
    case = shared_case
    ACTS["verifying"](case).raise_for_status()
    paths = ("/v1/me", "/v1/me/export", "/v1/me/comparisons", "/v1/me/consents", "/v1/me/enrolments", "/v1/me/receipts")
    with broken(case.service.vault):
        answers = {path: case.person("GET", path).status_code for path in paths}
        access = case.person("GET", "/v1/me/access")
        with_receipt = case.person("GET", "/v1/me/access", params={"receipt": "true"})

    assert set(answers.values()) == {200}, answers
    assert access.json()["data"]["comparisons"]
    assert with_receipt.status_code == 200, "only the receipt is missing"
    assert with_receipt.json().get("receipt") is None
    assert len(with_receipt.json()["data"]["comparisons"]) == 1


@pytest.mark.parametrize("broken", [full_disk, missing_table])
def test_a_refusal_needs_no_entry(shared_case: EnrolledCase, broken: Break) -> None:
    case = shared_case
    with broken(case.service.vault):
        answers = [case.party.verify("unknown", toy_photo(1)), enrol(case.person, [uuid4()], [toy_photo(1)])]

    assert [answer.status_code for answer in answers] == [404, 403]


def test_an_erasure_begins_at_once_and_is_completed_with_its_receipt(case: EnrolledCase) -> None:
    """The subject's data is deleted at once; `completed` waits for the entry."""
    with full_disk(case.service.vault):
        answer = case.person("DELETE", "/v1/me")
        refused = case.party.verify(case.consent["subject_ref"], toy_photo(1))
        rows = all_rows(case.service.vault)
    run_maintenance(case.service.vault, settings=case.service.settings, now=case.service.clock())
    after = case.service.client.get(f"/v1/erasures/{answer.json()['erasure_id']}").json()

    assert (answer.status_code, answer.json()["status"]) == (202, "in_progress")
    assert answer.json()["receipt"] is None
    assert refused.status_code == 404
    assert (rows["mien.subjects"], rows["mien.templates"]) == ([], [])
    assert after["status"] == "completed"
    assert after["receipt"]["leaf"]


# --- The database itself refuses rows without an entry


def insert(case: EnrolledCase, table: str, row: dict[str, Any]) -> None:
    """Insert a row with plain SQL."""
    values = ", ".join(f":{name}" for name in row)
    change_row(case.service.vault, f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})", **row)  # noqa: S608


def first_row(case: EnrolledCase, table: str) -> dict[str, Any]:
    with case.service.vault.data.read() as session:
        found = session.connection().exec_driver_sql(f"SELECT * FROM {table} LIMIT 1")  # noqa: S608
        return dict(zip(found.keys(), found.one(), strict=True))


def copy_of(case: EnrolledCase, table: str, **changed: object) -> None:
    """Insert a row like an existing one."""
    insert(case, table, first_row(case, table) | changed)


@pytest.mark.parametrize("table", ["comparisons", "consent_events"])
def test_sql_cannot_insert_a_row_without_an_entry(case: EnrolledCase, table: str) -> None:
    ACTS["verifying"](case).raise_for_status()
    log = {"comparisons": "entries", "consent_events": "receipts"}[table]
    other, _, _ = case.service.enrolled(face=2, party=case.party)
    entry = uuid4().hex
    with pytest.raises(IntegrityError, match=f"a row of {table} has an entry in the log"):
        copy_of(case, table, id=entry, position=70)
    copy_of(case, log, id=entry, position=70, subject_id=UUID(other.subject_id).hex)
    with pytest.raises(IntegrityError, match=f"a row of {table} has an entry in the log"):
        copy_of(case, table, id=entry, position=70, subject_id=UUID(case.person.subject_id).hex)
    before = len(all_rows(case.service.vault)[f"mien.{table}"])
    copy_of(case, table, id=entry, position=70, subject_id=UUID(other.subject_id).hex)

    assert len(all_rows(case.service.vault)[f"mien.{table}"]) == before + 1, (
        "with an entry of the same subject it is inserted"
    )


def test_sql_cannot_insert_a_template_without_an_entry(case: EnrolledCase) -> None:
    kept = first_row(case, "templates")
    change_row(case.service.vault, "DELETE FROM templates")
    for entry_id in (uuid4().hex, None):
        with pytest.raises(IntegrityError, match="a row of templates has an entry in the log"):
            insert(case, "templates", kept | {"entry_id": entry_id})
    insert(case, "templates", kept)

    assert len(all_rows(case.service.vault)["mien.templates"]) == 1


@pytest.mark.parametrize("table", ["consent_events", "receipts"])
def test_sql_cannot_change_events_and_receipts(case: EnrolledCase, table: str) -> None:
    with pytest.raises(IntegrityError, match="never changed"):
        change_row(case.service.vault, f"UPDATE {table} SET sealed = x'00'")  # noqa: S608
