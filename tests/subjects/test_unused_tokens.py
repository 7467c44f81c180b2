"""Unused tokens end, except the one used last and recovery codes; no request writes the last use."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from app.jobs.maintenance import run_maintenance
from app.subjects import service as subjects
from app.subjects import token_expiry
from app.subjects.token_usage import TokenUsage
from app.vault.tables import EndedKind
from app.web.callers import Principal, Role, token_digest
from tests.consent.spies import statements
from tests.support.byte_scan import rows
from tests.support.register_queries import tombstones
from tests.support.service_fixture import MovableClock, Person, RunningService, SharedPool, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.waiting import wait_until
from tests.transparency.pending_leaves import open_all_entries
from tests.vault.operator import make_backup, restore


@pytest.fixture
def service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    with serving(root, pool, toy_card(), background=False) as running:
        yield running


@contextmanager
def serve_again(root: Path, pool: SharedPool, clock: MovableClock, **by: float) -> Iterator[RunningService]:
    """Let time pass and serve again; the service before wrote the uses when it stopped."""
    clock.advance(**by)
    with serving(root, pool, toy_card(), clock=clock, background=False) as running:
        yield running


def add_token(person: Person) -> Person:
    """Return the same person with another token."""
    token = person("POST", "/v1/me/tokens").json()["access_token"]
    return Person(person.client, person.subject_id, token, person.recovery_code)


def connect(service: RunningService, person: Person) -> Person:
    return Person(service.client, person.subject_id, person.token, person.recovery_code)


def opens(person: Person) -> bool:
    return person("GET", "/v1/me").status_code == 200


def set_last_use(service: RunningService, person: Person, *, on: date | None) -> None:
    """Set the last use of a token in the database."""
    with service.vault.data.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE tokens SET last_used_on = ? WHERE digest = ?",
            (None if on is None else on.isoformat(), token_digest(person.token)),
        )


def read_last_use(service: RunningService, person: Person) -> str | None:
    ((day,),) = rows(
        in_file(service.vault.data).path, "SELECT last_used_on FROM tokens WHERE digest = ?", token_digest(person.token)
    )
    return None if day is None else str(day)


def end_unused(service: RunningService) -> int:
    return run_maintenance(service.vault, settings=service.settings, now=service.clock()).tokens_ended


def test_an_unused_token_ends_after_its_days_and_not_before(service: RunningService) -> None:
    person = service.person()
    old, today = add_token(person), service.clock().date()
    set_last_use(service, old, on=today - timedelta(days=400))
    before = end_unused(service), opens(old)
    set_last_use(service, old, on=today - timedelta(days=401))
    after = end_unused(service), opens(old)

    assert (before, after) == ((0, True), (1, False))
    assert opens(person)
    assert end_unused(service) == 0


def test_the_last_used_token_and_the_recovery_code_stay(service: RunningService) -> None:
    person = service.person()
    second, third, today = add_token(person), add_token(person), service.clock().date()
    for days, one in ((2000, person), (1500, third), (1000, second)):
        set_last_use(service, one, on=today - timedelta(days=days))
    count = end_unused(service)

    assert count == 2
    assert [opens(one) for one in (person, second, third)] == [False, True, False]
    code = {"recovery_code": person.recovery_code}
    assert service.client.post("/v1/recoveries", json=code).status_code == 201


def test_of_two_tokens_last_used_on_one_day_one_stays(service: RunningService) -> None:
    person = service.person()
    second, long_ago = add_token(person), service.clock().date() - timedelta(days=900)
    for one in (person, second):
        set_last_use(service, one, on=long_ago)

    assert end_unused(service) == 1
    assert opens(person) != opens(second)


def test_recovery_codes_have_no_last_use(service: RunningService) -> None:
    service.person()

    assert rows(in_file(service.vault.data).path, "SELECT last_used_on FROM tokens WHERE kind = 'recovery'") == [
        (None,)
    ]


def test_an_ended_token_has_an_entry_and_is_counted(service: RunningService) -> None:
    person = service.person()
    old = add_token(person)
    token_id = next(one["token_id"] for one in old("GET", "/v1/me/tokens").json()["items"] if one["current"])
    set_last_use(service, old, on=service.clock().date() - timedelta(days=500))
    end_unused(service)
    found = [json.loads(record) for _, record, _ in open_all_entries(service.vault).values()]
    open_records = [
        json.loads(record)
        for (record,) in rows(
            in_file(service.vault.data).path, "SELECT record FROM pending_leaves WHERE record IS NOT NULL"
        )
    ]
    (run,) = [one for one in open_records if one["act"] == "retention_run"]

    assert [one["token_id"] for one in found if one["act"] == "token_unused"] == [token_id]
    assert run == {"act": "retention_run", "tokens_ended": 1, "on": service.clock().date().isoformat()}


def test_many_tokens_end_page_by_page(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_expiry, "PAGE", 2)
    person = service.person()
    for _ in range(5):
        set_last_use(service, add_token(person), on=service.clock().date() - timedelta(days=401))

    assert end_unused(service) == 5
    assert len(tombstones(service.vault.register, EndedKind.TOKEN)) == 5
    assert len(person("GET", "/v1/me/tokens").json()["items"]) == 1


def test_a_restored_backup_does_not_bring_an_ended_token_back(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), background=False) as service:
        person = service.person()
        old = add_token(person)
        make_backup(root, root.with_name("backup"))
        set_last_use(service, old, on=service.clock().date() - timedelta(days=500))
        end_unused(service)
    restore(root, root.with_name("backup"))
    with serving(root, pool, toy_card()) as service:
        found = opens(connect(service, old)), opens(connect(service, person))

    assert found == (False, True)


def test_a_token_without_a_last_use_gets_the_day_of_the_first_run(service: RunningService) -> None:
    person = service.person()
    old = add_token(person)
    set_last_use(service, old, on=None)
    first = end_unused(service), read_last_use(service, old)

    assert first == (0, service.clock().date().isoformat())


def test_uses_are_written_when_the_service_stops(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), background=False) as service:
        person = service.person()
        made = read_last_use(service, person)
        service.clock.advance(days=100)
        listed = person("GET", "/v1/me/tokens").json()["items"][0]
        during = read_last_use(service, person)
    after = read_last_use(service, person)

    assert made == during == listed["last_used_on"]
    assert after == service.clock().date().isoformat()


def test_uses_are_written_by_the_maintenance_run(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), sweep_interval_s=0.05) as service:
        person = service.person()
        service.clock.advance(days=1)
        opens(person)
        wait_until(lambda: read_last_use(service, person) == service.clock().date().isoformat())


def test_a_token_in_use_never_ends(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), background=False) as service:
        person = service.person()
        old = add_token(person)
    for _ in range(4):
        with serve_again(root, pool, service.clock, days=300) as again:
            assert opens(connect(again, person))
            assert opens(connect(again, old)), "it was used less than 400 days ago"


def test_no_request_writes_the_last_use(service: RunningService) -> None:
    person = service.person()
    service.clock.advance(days=1)
    with statements(service.vault) as seen:
        for _ in range(20):
            assert opens(person)

    assert seen
    assert not [one for one in seen if one.startswith(("INSERT", "UPDATE", "DELETE", "BEGIN IMMEDIATE"))]


def usage_with(now: Callable[[], datetime], token_id: UUID) -> TokenUsage:
    """Return a `TokenUsage` that has recorded one use of a token."""
    uses = TokenUsage(now)
    watched = uses.recording(lambda _data, _digest: Principal(Role.PERSON, UUID(int=1), token_id))
    assert watched(None, b"") is not None  # type: ignore[arg-type]
    return uses


def test_a_use_is_written_once_a_day(service: RunningService) -> None:
    person = service.person()
    token_id = UUID(person("GET", "/v1/me/tokens").json()["items"][0]["token_id"])
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    counts = [usage_with(lambda: tomorrow, token_id).write(service.vault.data) for _ in range(3)]
    with statements(service.vault) as seen:
        again = usage_with(lambda: tomorrow, token_id).write(service.vault.data)
    back = usage_with(lambda: tomorrow - timedelta(days=1), token_id).write(service.vault.data)

    assert counts == [1, 0, 0]
    assert (again, back) == (0, 0)
    assert not [one for one in seen if one.startswith("UPDATE")]


def test_a_failed_write_is_repeated(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    person = service.person()
    token_id = UUID(person("GET", "/v1/me/tokens").json()["items"][0]["token_id"])
    uses = usage_with(lambda: datetime.now(UTC) + timedelta(days=1), token_id)

    def full() -> None:
        raise OperationalError("", None, OSError("disk full"))

    with monkeypatch.context() as failing:
        failing.setattr(service.vault.data, "write", full)
        with pytest.raises(OperationalError):
            uses.write(service.vault.data)
        uses.write_last(service.vault.data)

    assert uses.write(service.vault.data) == 1


def test_an_unknown_token_is_not_recorded(service: RunningService) -> None:
    uses = TokenUsage(service.clock)
    find = uses.recording(subjects.authenticate)

    assert find(service.vault.data, token_digest("mien_sub_unknown")) is None
    assert uses.write(service.vault.data) == 0


def test_uses_during_a_write_are_not_lost(service: RunningService) -> None:
    person = service.person()
    token_id = UUID(person("GET", "/v1/me/tokens").json()["items"][0]["token_id"])
    day = datetime.now(UTC)
    days_of_use: set[datetime] = set()

    def clock() -> datetime:
        days_of_use.add(day)
        return day

    uses = TokenUsage(clock)
    watched = uses.recording(lambda _data, _digest: Principal(Role.PERSON, UUID(int=1), token_id))
    stopped = threading.Event()

    def send_requests() -> None:
        while not stopped.is_set():
            watched(None, b"")  # type: ignore[arg-type]

    threads = [threading.Thread(target=send_requests) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        day += timedelta(days=1)
        wait_until(partial(days_of_use.__contains__, day))
        uses.write(service.vault.data)
    stopped.set()
    for thread in threads:
        thread.join()
    uses.write(service.vault.data)

    assert read_last_use(service, person) == day.date().isoformat()
