"""A subject shortens their history: comparisons and their log entries are deleted, the leaves stay."""

import json
import threading
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from app.comparisons import shorten_history
from app.jobs.maintenance import purge_dead_rows
from app.transparency.audit.findings import FindingKind
from app.transparency.log import entries
from app.vault.tables import EndedKind
from tests.support.byte_scan import Needles, files_under, rows
from tests.support.register_queries import tombstones
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.transparency.joined_leaves import open_stores, read_leaves
from tests.transparency.pending_leaves import open_all_entries, pending_acts
from tests.transparency.tampered_logs import run_audit, tampered_store
from tests.vault.operator import make_backup, restore

PATH = "/v1/me/comparisons"


def shorten(person: Person, before: date | str) -> httpx.Response:
    return person("DELETE", PATH, params={"before": str(before)})


def comparisons_of(person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = person("GET", PATH, params={"limit": 200}).json()["items"]
    return found


def compare_daily(service: RunningService, party: Party, consent: dict[str, Any], *, days: int, each: int = 2) -> None:
    """Let the party verify several times on each day."""
    for _ in range(days):
        for _ in range(each):
            party.verify(consent["subject_ref"], toy_photo(1)).raise_for_status()
        service.clock.advance(days=1)


def sealed_values(service: RunningService) -> Needles:
    """Return the sealed bytes of comparisons and their entries."""
    needles = Needles()
    for table in ("comparisons", "entries"):
        query = f"SELECT sealed FROM {table} WHERE id IN (SELECT id FROM comparisons)"  # noqa: S608 - fixed names
        for (value,) in rows(in_file(service.vault.data).path, query):
            needles.raw(table, value)
    return needles


def acts(service: RunningService) -> list[str]:
    return [json.loads(record)["act"] for _, record, _ in open_all_entries(service.vault).values()]


def test_deletion_before_a_day_removes_comparisons_and_entries_and_keeps_leaves(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    first = service.clock().date()
    compare_daily(service, party, consent, days=3)
    before, leaves = comparisons_of(person), set(pending_acts(service.vault))
    answer = shorten(person, first + timedelta(days=2))
    after = comparisons_of(person)

    assert answer.json() == {"deleted": 4, "erased_from_disk": True}
    assert answer.headers["cache-control"] == "no-store"
    assert after == before[:2]
    assert acts(service).count("comparison") == 2
    assert acts(service).count("history_shortened") == 1
    assert leaves < set(pending_acts(service.vault)) | set(read_leaves(service.vault))


def test_the_entry_of_the_deletion_names_no_deleted_comparison(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    compare_daily(service, party, consent, days=1)
    shorten(person, service.clock().date()).raise_for_status()
    (record,) = [
        found
        for _, held, _ in open_all_entries(service.vault).values()
        if (found := json.loads(held))["act"] == "history_shortened"
    ]

    assert set(record) == {"act", "at", "entries"}
    assert record["entries"] == 2


def test_the_deleted_bytes_are_in_no_file(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    other, _, his = service.enrolled(face=2, party=party)
    compare_daily(service, party, consent, days=10, each=3)
    party.verify(his["subject_ref"], toy_photo(2)).raise_for_status()
    kept = sealed_values(service)
    ((count,),) = rows(in_file(service.vault.data).path, "SELECT count(*) FROM comparisons")
    needles = Needles()
    for table in ("comparisons", "entries"):
        query = (
            f"SELECT sealed FROM {table} WHERE subject_id = '{UUID(person.subject_id).hex}'"  # noqa: S608 - fixed names
            " AND id IN (SELECT id FROM comparisons)"
        )
        for (value,) in rows(in_file(service.vault.data).path, query):
            needles.raw(table, value)
    for one in comparisons_of(person):
        needles.id("comparison", one["comparison_id"])
    there = needles.found(files_under(service.root))
    answer = shorten(person, service.clock().date()).json()

    assert count == 31
    assert there
    assert answer == {"deleted": 30, "erased_from_disk": True}
    assert needles.found(files_under(service.root)) == []
    assert kept.found(files_under(service.root)), "the values of another subject stay"
    assert len(comparisons_of(other)) == 1


def test_deletion_before_tomorrow_removes_all_comparisons_and_later_ones_are_listed(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    party.verify(consent["subject_ref"], toy_photo(1)).raise_for_status()
    deleted = shorten(person, service.clock().date() + timedelta(days=1)).json()["deleted"]
    none = comparisons_of(person)
    party.verify(consent["subject_ref"], toy_photo(2)).raise_for_status()

    assert (deleted, none) == (1, [])
    assert [one["decision"] for one in comparisons_of(person)] == ["no_match"]
    assert person("GET", "/v1/me/access").status_code == 200


def test_deletion_without_an_older_comparison_writes_nothing(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    compare_daily(service, party, consent, days=1)
    shorten(person, service.clock().date()).raise_for_status()
    before = pending_acts(service.vault), set(tombstones(service.vault.register, EndedKind.HISTORY))
    codes = [shorten(person, service.clock().date()).json()["deleted"] for _ in range(5)]

    assert codes == [0] * 5
    assert (pending_acts(service.vault), set(tombstones(service.vault.register, EndedKind.HISTORY))) == before
    assert len(before[1]) == 1


@pytest.mark.parametrize(
    "before", ["", "yesterday", "0", "1700000000", "2026-13-01", "2026-1-1", "2026-11-26T00:00:00"]
)
def test_a_value_that_is_not_a_day_deletes_nothing(service: RunningService, before: str) -> None:
    person, party, consent = service.enrolled(face=1)
    party.verify(consent["subject_ref"], toy_photo(1)).raise_for_status()

    assert shorten(person, before).status_code == 422
    assert person("DELETE", PATH).status_code == 422
    assert len(comparisons_of(person)) == 1


def test_a_long_history_is_deleted_page_by_page(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shorten_history, "PAGE", 3)
    person, party, consent = service.enrolled(face=1)
    compare_daily(service, party, consent, days=4, each=2)
    compare_daily(service, party, consent, days=1, each=1)

    assert shorten(person, service.clock().date() - timedelta(days=1)).json()["deleted"] == 8
    assert len(comparisons_of(person)) == 1


def test_an_interrupted_deletion_is_completed_by_maintenance(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, party, consent = service.enrolled(face=1)
    compare_daily(service, party, consent, days=2, each=2)

    def full(*_: object) -> None:
        raise OperationalError("", None, OSError("disk I/O error"))

    with monkeypatch.context() as failing:
        failing.setattr(entries, "delete_entries", full)
        refused = shorten(person, service.clock().date())
    left = len(comparisons_of(person))
    unfinished = service.vault.unfinished
    removed = purge_dead_rows(service.vault, settings=service.settings, now=service.clock())

    assert (refused.status_code, left, unfinished) == (503, 4, True)
    assert removed == 4
    assert comparisons_of(person) == []
    assert acts(service).count("history_shortened") == 1
    assert purge_dead_rows(service.vault, settings=service.settings, now=service.clock()) == 0


def test_a_second_deletion_before_the_first_completes_has_its_own_cut(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first deletion has not completed, so the second must not replace it in the register."""
    person, party, consent = service.enrolled(face=1)
    first = service.clock().date()
    compare_daily(service, party, consent, days=3, each=1)
    carry_out = shorten_history._carry_out
    with monkeypatch.context() as waiting:
        waiting.setattr(shorten_history, "_carry_out", lambda *_, **__: 0)
        shorten(person, first + timedelta(days=1)).raise_for_status()
    assert carry_out is shorten_history._carry_out
    deleted = shorten(person, first + timedelta(days=2)).json()["deleted"]

    assert deleted == 2
    assert len(tombstones(service.vault.register, EndedKind.HISTORY)) == 2
    assert rows(in_file(service.vault.data).path, "SELECT history_cuts FROM subjects") == [(2,)]


def test_parallel_deletions_count_each_comparison_once(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    compare_daily(service, party, consent, days=4, each=3)
    deleted: list[int] = []

    def ask(day: int) -> None:
        deleted.append(shorten(person, service.clock().date() - timedelta(days=day)).json()["deleted"])

    threads = [threading.Thread(target=ask, args=[day]) for day in (0, 1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(deleted) == 12
    assert comparisons_of(person) == []
    ((cuts,),) = rows(in_file(service.vault.data).path, "SELECT history_cuts FROM subjects")
    assert cuts == len(tombstones(service.vault.register, EndedKind.HISTORY))


def test_an_audit_accepts_entries_that_their_subject_deleted_and_reports_others_as_missing(
    root: Path, pool: SharedPool
) -> None:
    with serving(root, pool, toy_card()) as service:
        person, party, consent = service.enrolled(face=1)
        for _ in range(3):
            compare_daily(service, party, consent, days=2, each=2)
            shorten(person, service.clock().date() - timedelta(days=1)).raise_for_status()
        shorten(person, service.clock().date()).raise_for_status()
        party.verify(consent["subject_ref"], toy_photo(1)).raise_for_status()
        now = service.clock()
    whole = run_audit(root, now=now).findings
    with tampered_store(root, "data/mien.db") as tampered:
        tampered("DELETE FROM entries WHERE position = (SELECT max(position) - 1 FROM entries)")
    missed = run_audit(root, now=now).findings

    assert whole == ()
    assert [one.kind for one in missed] == [FindingKind.RECORD_MISSING]


@pytest.mark.parametrize("times", [1, 3])
def test_a_restore_repeats_the_deletions_since_the_backup(root: Path, pool: SharedPool, times: int) -> None:
    with serving(root, pool, toy_card()) as service:
        person, party, consent = service.enrolled(face=1)
        first = service.clock().date()
        compare_daily(service, party, consent, days=4, each=2)
        make_backup(root, root.with_name("backup"))
        for number in range(1, times + 1):
            shorten(person, first + timedelta(days=number)).raise_for_status()
        expected = comparisons_of(person)
        moved = service.clock
    done = restore(root, root.with_name("backup"), clock=moved)
    with serving(root, pool, toy_card(), clock=moved) as service:
        again = Person(service.client, person.subject_id, person.token, person.recovery_code)
        found = comparisons_of(again)
        shorten(again, first + timedelta(days=4)).raise_for_status()
        none = comparisons_of(again)

    assert found == expected
    assert len(expected) == 8 - 2 * times
    assert done.purged == 2 * times
    assert none == []


def test_a_second_restore_repeats_the_deletion_too(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        person, party, consent = service.enrolled(face=1)
        compare_daily(service, party, consent, days=2, each=1)
        make_backup(root, root.with_name("backup"))
        shorten(person, service.clock().date() - timedelta(days=1)).raise_for_status()
        moved = service.clock
    for _ in range(2):
        restore(root, root.with_name("backup"), clock=moved)
    with open_stores(root) as vault:
        ((count,),) = rows(in_file(vault.data).path, "SELECT count(*) FROM comparisons")

    assert count == 1


def test_the_register_has_no_id_of_the_person_or_the_cut(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    compare_daily(service, party, consent, days=1)
    shorten(person, service.clock().date()).raise_for_status()
    needles = Needles().id("person", person.subject_id)
    needles.id("cut", str(shorten_history.cut_id(UUID(person.subject_id), 0)))

    assert needles.found(files_under(service.root / "keys")) == []


def test_rights_are_not_refused_because_of_many_requests(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    party.verify(consent["subject_ref"], toy_photo(1)).raise_for_status()
    ask: Callable[[], int] = lambda: shorten(person, service.clock().date()).status_code  # noqa: E731

    assert [ask() for _ in range(50)] == [200] * 50
