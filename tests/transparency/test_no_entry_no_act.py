"""An act whose entry cannot be written does not happen; rights to read are answered all the same."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy.exc import IntegrityError

from app.jobs.maintenance import run_maintenance
from tests.consent.spies import change_row, everything
from tests.enrolment.engine_change import BlindPool, look, supersede
from tests.support.service_fixture import SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.transparency.pending_leaves import Case

Ask = Callable[[Case], httpx.Response]


@pytest.fixture
def case(root: Path, pool: SharedPool) -> Iterator[Case]:
    with serving(root, pool, toy_card()) as service:
        yield Case(service, *service.enrolled(face=1))


def a_full_disk(case: Case) -> None:
    """Refuse each leaf, as a disk would that is full just then."""
    refusing = "BEFORE INSERT ON pending_leaves BEGIN SELECT RAISE(ABORT, 'full'); END"
    change_row(case.service.vault, f"CREATE TRIGGER full {refusing}")


def no_table(case: Case) -> None:
    change_row(case.service.vault, "ALTER TABLE pending_leaves RENAME TO gone")


def deciding(case: Case, decision: str, *, party: str | None = None) -> httpx.Response:
    body = {"purpose": "verification", "relying_party_id": party or case.party.id, "decision": decision}
    return case.person("POST", "/v1/me/consents", json={**body, "notice_sha256": case.service.notice("verification")})


def deleting_an_enrolment(case: Case) -> httpx.Response:
    (one,) = case.person("GET", "/v1/me/enrolments").json()["items"]
    return case.person("DELETE", f"/v1/me/enrolments/{one['enrolment_id']}")


ACTS: dict[str, Ask] = {
    "refusing": lambda case: deciding(case, "refused"),
    "withdrawing": lambda case: case.person("DELETE", case.address),
    "enrolling": lambda case: enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)]),
    "deleting an enrolment": deleting_an_enrolment,
    "verifying": lambda case: case.party.verify(case.consent["subject_ref"], toy_photo(1)),
    "restricting": lambda case: case.person("PUT", "/v1/me/restriction"),
    "rectifying": lambda case: case.person("PATCH", "/v1/me", json={"display_name": "Ada"}),
}


def held(case: Case) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of both stores, but for what the database says of itself."""
    return {name: found for name, found in everything(case.service.vault).items() if "sqlite" not in name}


@pytest.mark.parametrize("broken", [a_full_disk, no_table])
@pytest.mark.parametrize("name", ACTS)
def test_without_its_entry_an_act_does_not_happen(case: Case, name: str, broken: Callable[[Case], None]) -> None:
    broken(case)
    before = held(case)
    answer = ACTS[name](case)

    assert (answer.status_code, answer.json()["type"]) == (503, "urn:mien:problem:storage-unavailable")
    assert held(case) == before


def test_nor_does_a_consent_that_is_given(case: Case) -> None:
    gate = case.service.party("Gate")
    a_full_disk(case)
    before = held(case)
    answer = deciding(case, "given", party=gate.id)

    assert answer.status_code == 503
    assert held(case) == before


def test_nor_does_a_lift(case: Case) -> None:
    case.person("PUT", "/v1/me/restriction").raise_for_status()
    a_full_disk(case)
    before = held(case)
    answer = case.person("DELETE", "/v1/me/restriction")

    assert answer.status_code == 503
    assert held(case) == before


def test_nor_does_an_expiry_that_its_sweep_finds(case: Case) -> None:
    """It is over by the clock all the same: nobody is compared on it."""
    case.service.clock.advance(days=400)
    a_full_disk(case)
    with pytest.raises(IntegrityError, match="full"):
        run_maintenance(case.service.vault, settings=case.service.settings, now=case.service.clock())

    assert case.party.verify(case.consent["subject_ref"], toy_photo(1)).status_code == 404
    assert len(held(case)["mien.grants"]) == 1


def changing_the_engine(case: Case) -> None:
    supersede(case.service)


def ending_templates(case: Case) -> None:
    run_maintenance(case.service.vault, settings=case.service.settings, now=case.service.clock() + timedelta(days=91))


def renewing(case: Case) -> None:
    look(case.service)


def failing_to_renew(case: Case) -> None:
    look(case.service, pool=BlindPool())


@pytest.mark.parametrize("act", [changing_the_engine, ending_templates, renewing, failing_to_renew])
def test_nor_does_what_a_change_of_the_engine_brings(case: Case, act: Callable[[Case], None]) -> None:
    case.service.consent(case.person, None, purpose="template_renewal")
    answer = enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)], keep_photos="true")
    assert answer.status_code == 201
    if act is not changing_the_engine:
        supersede(case.service)
    a_full_disk(case)
    names = ("mien.engines", "mien.templates", "mien.photos", "mien.entries")
    before = held(case)
    with pytest.raises(IntegrityError, match="full"):
        act(case)

    assert {name: held(case)[name] for name in names} == {name: before[name] for name in names}
    change_row(case.service.vault, "DROP TRIGGER full")
    act(case)
    assert held(case)["mien.engines"] != before["mien.engines"] or held(case)["mien.entries"] != before["mien.entries"]


def test_each_of_them_happens_when_the_entry_can_be_written(case: Case) -> None:
    """So that it is for want of the entry that they do not."""
    answers = {name: ACTS[name](case).status_code for name in ("rectifying", "verifying", "enrolling")}
    answers |= {name: ACTS[name](case).status_code for name in ("deleting an enrolment", "withdrawing", "restricting")}

    assert set(answers.values()) <= {200, 201}


@pytest.mark.parametrize("broken", [a_full_disk, no_table])
def test_rights_to_read_are_answered_without(case: Case, broken: Callable[[Case], None]) -> None:
    ACTS["verifying"](case).raise_for_status()
    broken(case)
    paths = ("/v1/me", "/v1/me/export", "/v1/me/comparisons", "/v1/me/consents", "/v1/me/enrolments", "/v1/me/receipts")
    answers = {path: case.person("GET", path).status_code for path in paths}
    access = case.person("GET", "/v1/me/access")
    with_receipt = case.person("GET", "/v1/me/access", params={"receipt": "true"})

    assert set(answers.values()) == {200}, answers
    assert access.json()["data"]["comparisons"]
    assert with_receipt.status_code == 200, "only the receipt is not there"
    assert with_receipt.json().get("receipt") is None
    assert len(with_receipt.json()["data"]["comparisons"]) == 1


@pytest.mark.parametrize("broken", [a_full_disk, no_table])
def test_a_refusal_stays_a_refusal(case: Case, broken: Callable[[Case], None]) -> None:
    broken(case)
    answers = [case.party.verify("nobody", toy_photo(1)), enrol(case.person, [uuid4()], [toy_photo(1)])]

    assert [answer.status_code for answer in answers] == [404, 403]


def test_an_erasure_begins_and_is_completed_when_its_receipt_can_be(case: Case) -> None:
    """The person is gone at once; that it is completed is said with the entry, and not before."""
    a_full_disk(case)
    answer = case.person("DELETE", "/v1/me")
    refused = case.party.verify(case.consent["subject_ref"], toy_photo(1))
    left = held(case)["mien.subjects"], held(case)["mien.templates"]
    change_row(case.service.vault, "DROP TRIGGER full")
    run_maintenance(case.service.vault, settings=case.service.settings, now=case.service.clock())
    after = case.service.client.get(f"/v1/erasures/{answer.json()['erasure_id']}").json()

    assert (answer.status_code, answer.json()["status"]) == (202, "in_progress")
    assert answer.json()["receipt"] is None
    assert refused.status_code == 404
    assert left == ([], [])
    assert after["status"] == "completed"
    assert after["receipt"]["leaf"]


# --- The database itself refuses


def insert(case: Case, table: str, row: dict[str, Any]) -> None:
    """Insert a row with plain SQL."""
    values = ", ".join(f":{name}" for name in row)
    change_row(case.service.vault, f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})", **row)  # noqa: S608


def first_row(case: Case, table: str) -> dict[str, Any]:
    with case.service.vault.data.read() as session:
        found = session.connection().exec_driver_sql(f"SELECT * FROM {table} LIMIT 1")  # noqa: S608
        return dict(zip(found.keys(), found.one(), strict=True))


def copy_of(case: Case, table: str, **changed: object) -> None:
    """Insert a row like one that is there."""
    insert(case, table, first_row(case, table) | changed)


@pytest.mark.parametrize("table", ["comparisons", "consent_events"])
def test_sql_cannot_insert_what_has_no_entry(case: Case, table: str) -> None:
    ACTS["verifying"](case).raise_for_status()
    log = {"comparisons": "entries", "consent_events": "receipts"}[table]
    other, _, _ = case.service.enrolled(face=2, party=case.party)
    entry = uuid4().hex
    with pytest.raises(IntegrityError, match=f"a row of {table} has an entry in the log"):
        copy_of(case, table, id=entry, position=70)
    copy_of(case, log, id=entry, position=70, subject_id=UUID(other.subject_id).hex)
    with pytest.raises(IntegrityError, match=f"a row of {table} has an entry in the log"):
        copy_of(case, table, id=entry, position=70, subject_id=UUID(case.person.subject_id).hex)
    before = len(held(case)[f"mien.{table}"])
    copy_of(case, table, id=entry, position=70, subject_id=UUID(other.subject_id).hex)

    assert len(held(case)[f"mien.{table}"]) == before + 1, "with its own person's entry it goes in"


def test_sql_cannot_insert_a_template_that_has_no_entry(case: Case) -> None:
    kept = first_row(case, "templates")
    change_row(case.service.vault, "DELETE FROM templates")
    for entry_id in (uuid4().hex, None):
        with pytest.raises(IntegrityError, match="a row of templates has an entry in the log"):
            insert(case, "templates", kept | {"entry_id": entry_id})
    insert(case, "templates", kept)

    assert len(held(case)["mien.templates"]) == 1


@pytest.mark.parametrize("table", ["consent_events", "receipts"])
def test_sql_cannot_change_what_was_written(case: Case, table: str) -> None:
    with pytest.raises(IntegrityError, match="never changed"):
        change_row(case.service.vault, f"UPDATE {table} SET sealed = x'00'")  # noqa: S608
