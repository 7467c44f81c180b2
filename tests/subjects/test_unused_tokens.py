"""A token that nobody uses ends; never the one used last, never the recovery code; and no request writes for that."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from app.jobs.maintenance import run_maintenance
from app.subjects import service as subjects
from app.subjects import token_expiry
from app.subjects.token_usage import TokenUsage
from app.vault.tables import EndedKind
from app.web.auth import Principal, Role, token_digest
from tests.consent.spies import statements
from tests.support.byte_scan import rows
from tests.support.register_queries import tombstones
from tests.support.service_fixture import MovableClock, Person, RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.transparency.pending_leaves import open_all_entries
from tests.vault.operator import make_backup, restore

NEVER = 1e6
"""Seconds between two sweeps: the only one is at the start, and the test does the rest."""


@pytest.fixture
def service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    with serving(root, pool, toy_card(), sweep_interval_s=NEVER) as running:
        yield running


@contextmanager
def later(root: Path, pool: SharedPool, clock: MovableClock, **by: float) -> Iterator[RunningService]:
    """Stop, let time pass, and serve again: what was used is written down at the stop."""
    clock.advance(**by)
    with serving(root, pool, toy_card(), clock=clock, sweep_interval_s=NEVER) as running:
        yield running


def another(person: Person) -> Person:
    """Return another way in of the same person."""
    token = person("POST", "/v1/me/tokens").json()["access_token"]
    return Person(person.client, person.subject_id, token, person.recovery_code)


def at(service: RunningService, person: Person) -> Person:
    return Person(service.client, person.subject_id, person.token, person.recovery_code)


def opens(person: Person) -> bool:
    return person("GET", "/v1/me").status_code == 200


def used(service: RunningService, person: Person, *, on: date | None) -> None:
    """Set when a token was last used, past the service."""
    with service.vault.data.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE tokens SET last_used_on = ? WHERE digest = ?",
            (None if on is None else on.isoformat(), token_digest(person.token)),
        )


def used_on(service: RunningService, person: Person) -> str | None:
    ((day,),) = rows(
        service.vault.data.path, "SELECT last_used_on FROM tokens WHERE digest = ?", token_digest(person.token)
    )
    return None if day is None else str(day)


def ended(service: RunningService) -> int:
    return run_maintenance(service.vault, settings=service.settings, now=service.clock()).tokens_ended


def test_an_unused_token_ends_after_its_days_and_not_before(service: RunningService) -> None:
    person = service.person()
    old, today = another(person), service.clock().date()
    used(service, old, on=today - timedelta(days=400))
    before = ended(service), opens(old)
    used(service, old, on=today - timedelta(days=401))
    after = ended(service), opens(old)

    assert (before, after) == ((0, True), (1, False))
    assert opens(person)
    assert ended(service) == 0


def test_the_one_used_last_stays_and_so_does_the_code(service: RunningService) -> None:
    person = service.person()
    second, third, today = another(person), another(person), service.clock().date()
    for days, one in ((2000, person), (1500, third), (1000, second)):
        used(service, one, on=today - timedelta(days=days))
    count = ended(service)

    assert count == 2
    assert [opens(one) for one in (person, second, third)] == [False, True, False]
    code = {"recovery_code": person.recovery_code}
    assert service.client.post("/v1/recoveries", json=code).status_code == 201


def test_of_two_used_on_one_day_one_stays(service: RunningService) -> None:
    person = service.person()
    second, long_ago = another(person), service.clock().date() - timedelta(days=900)
    for one in (person, second):
        used(service, one, on=long_ago)

    assert ended(service) == 1
    assert opens(person) != opens(second)


def test_recovery_codes_are_never_dated(service: RunningService) -> None:
    service.person()

    assert rows(service.vault.data.path, "SELECT last_used_on FROM tokens WHERE kind = 'recovery'") == [(None,)]


def test_its_person_has_an_entry_and_the_log_a_count(service: RunningService) -> None:
    person = service.person()
    old = another(person)
    token_id = next(one["token_id"] for one in old("GET", "/v1/me/tokens").json()["items"] if one["current"])
    used(service, old, on=service.clock().date() - timedelta(days=500))
    ended(service)
    found = [json.loads(record) for _, record, _ in open_all_entries(service.vault).values()]
    open_records = [
        json.loads(record)
        for (record,) in rows(service.vault.data.path, "SELECT record FROM pending_leaves WHERE record IS NOT NULL")
    ]
    (run,) = [one for one in open_records if one["act"] == "retention_run"]

    assert [one["token_id"] for one in found if one["act"] == "token_unused"] == [token_id]
    assert run == {"act": "retention_run", "tokens_ended": 1, "on": service.clock().date().isoformat()}


def test_many_end_page_by_page(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_expiry, "PAGE", 2)
    person = service.person()
    for _ in range(5):
        used(service, another(person), on=service.clock().date() - timedelta(days=401))

    assert ended(service) == 5
    assert len(tombstones(service.vault.register, EndedKind.TOKEN)) == 5
    assert len(person("GET", "/v1/me/tokens").json()["items"]) == 1


def test_a_restored_backup_does_not_bring_it_back(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), sweep_interval_s=NEVER) as service:
        person = service.person()
        old = another(person)
        make_backup(root, root.with_name("backup"))
        used(service, old, on=service.clock().date() - timedelta(days=500))
        ended(service)
    restore(root, root.with_name("backup"))
    with serving(root, pool, toy_card()) as service:
        found = opens(at(service, old)), opens(at(service, person))

    assert found == (False, True)


def test_of_an_older_version_the_time_begins_with_the_first_sweep(service: RunningService) -> None:
    person = service.person()
    old = another(person)
    used(service, old, on=None)
    first = ended(service), used_on(service, old)

    assert first == (0, service.clock().date().isoformat())


def test_a_use_is_written_down_when_the_service_stops(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), sweep_interval_s=NEVER) as service:
        person = service.person()
        made = used_on(service, person)
        service.clock.advance(days=100)
        listed = person("GET", "/v1/me/tokens").json()["items"][0]
        during = used_on(service, person)
    after = used_on(service, person)

    assert made == during == listed["last_used_on"]
    assert after == service.clock().date().isoformat()


def test_a_use_is_written_down_by_the_sweep(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), sweep_interval_s=0.05) as service:
        person = service.person()
        service.clock.advance(days=1)
        opens(person)
        until = time.monotonic() + 120
        while used_on(service, person) != service.clock().date().isoformat() and time.monotonic() < until:
            time.sleep(0.02)

    assert used_on(service, person) == service.clock().date().isoformat()


def test_a_token_in_use_never_ends(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), sweep_interval_s=NEVER) as service:
        person = service.person()
        old = another(person)
    for _ in range(4):
        with later(root, pool, service.clock, days=300) as again:
            assert opens(at(again, person))
            assert opens(at(again, old)), "it was used less than 400 days ago"


def test_no_request_writes_for_it(service: RunningService) -> None:
    person = service.person()
    service.clock.advance(days=1)
    with statements(service.vault) as seen:
        for _ in range(20):
            assert opens(person)

    assert seen
    assert not [one for one in seen if one.startswith(("INSERT", "UPDATE", "DELETE", "BEGIN IMMEDIATE"))]


def noted(now: Callable[[], datetime], token_id: UUID) -> TokenUsage:
    """Return what knows that a token was used."""
    uses = TokenUsage(now)
    watched = uses.recording(lambda _data, _digest: Principal(Role.PERSON, UUID(int=1), token_id))
    assert watched(None, b"") is not None  # type: ignore[arg-type]
    return uses


def test_it_is_written_once_a_day(service: RunningService) -> None:
    person = service.person()
    token_id = UUID(person("GET", "/v1/me/tokens").json()["items"][0]["token_id"])
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    counts = [noted(lambda: tomorrow, token_id).write(service.vault.data) for _ in range(3)]
    with statements(service.vault) as seen:
        again = noted(lambda: tomorrow, token_id).write(service.vault.data)
    back = noted(lambda: tomorrow - timedelta(days=1), token_id).write(service.vault.data)

    assert counts == [1, 0, 0]
    assert (again, back) == (0, 0)
    assert not [one for one in seen if one.startswith("UPDATE")]


def test_a_failed_write_is_done_later(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    person = service.person()
    token_id = UUID(person("GET", "/v1/me/tokens").json()["items"][0]["token_id"])
    uses = noted(lambda: datetime.now(UTC) + timedelta(days=1), token_id)

    def full() -> None:
        raise OperationalError("", None, OSError("disk full"))

    with monkeypatch.context() as failing:
        failing.setattr(service.vault.data, "write", full)
        with pytest.raises(OperationalError):
            uses.write(service.vault.data)
        uses.write_last(service.vault.data)

    assert uses.write(service.vault.data) == 1


def test_who_is_not_known_is_not_noted(service: RunningService) -> None:
    uses = TokenUsage(service.clock)
    find = uses.recording(subjects.authenticate)

    assert find(service.vault.data, token_digest("mien_sub_nobody")) is None
    assert uses.write(service.vault.data) == 0


def test_many_requests_beside_the_sweep_lose_nothing(service: RunningService) -> None:
    person = service.person()
    token_id = UUID(person("GET", "/v1/me/tokens").json()["items"][0]["token_id"])
    day = [datetime.now(UTC)]
    uses = TokenUsage(lambda: day[0])
    watched = uses.recording(lambda _data, _digest: Principal(Role.PERSON, UUID(int=1), token_id))
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.is_set():
            watched(None, b"")  # type: ignore[arg-type]

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        day[0] += timedelta(days=1)
        time.sleep(0.02)
        uses.write(service.vault.data)
    stopped.set()
    for thread in threads:
        thread.join()
    uses.write(service.vault.data)

    assert used_on(service, person) == day[0].date().isoformat()
