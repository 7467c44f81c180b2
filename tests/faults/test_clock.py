"""A clock that is a day fast and then goes back: no ended consent comes into force again, and no request fails."""

import os
from datetime import date, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from fastapi import Request

from app.jobs.maintenance import run_maintenance
from app.kit.errors import TooManyAttemptsError
from app.web.rate_limit import RateLimiter
from tests.faults.running_service import FaultyProgram, served
from tests.faults.scenario import Scenario, statuses
from tests.support.byte_scan import rows
from tests.support.service_fixture import MovableClock, RunningService, SharedPool, enrol, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until


def swept(service: RunningService) -> None:
    run_maintenance(service.vault, settings=service.settings, now=service.clock())


def in_days(service: RunningService, days: float) -> str:
    return (service.clock() + timedelta(days=days)).isoformat()


def states(person_answers: object) -> list[str]:
    return [one["state"] for one in person_answers["items"]]  # type: ignore[index]


def test_ended_consent_stays_ended_when_the_clock_goes_back(
    service: RunningService,
) -> None:
    person, party = service.person(), service.party()
    consent = service.consent(person, party, valid_until=in_days(service, 2))
    enrol(person, [consent["consent_id"]], [toy_photo(1), toy_photo(1, variant=2)])
    before = party.verify(consent["subject_ref"], toy_photo(1)).status_code
    service.clock.advance(days=3)
    swept(service)
    service.clock.advance(days=-3)
    answer = party.verify(consent["subject_ref"], toy_photo(1))

    assert (before, answer.status_code) == (200, 404)
    assert service.living_keys(consent["consent_id"]) == {}, "its template can never be opened again"


def test_no_decision_on_an_expired_consent_before_maintenance(service: RunningService) -> None:
    person, party = service.person(), service.party()
    consent = service.consent(person, party, valid_until=in_days(service, 2))
    enrol(person, [consent["consent_id"]], [toy_photo(1), toy_photo(1, variant=2)])
    service.clock.advance(days=3)

    assert party.verify(consent["subject_ref"], toy_photo(1)).status_code == 404


def test_withdrawal_dated_before_its_consent_counts(service: RunningService) -> None:
    """The last event in the list counts, not the event with the latest time."""
    service.clock.advance(days=1)
    person, party, consent = service.enrolled(face=1)
    given_at = service.clock().isoformat()
    service.clock.advance(days=-1)
    while_given = party.verify(consent["subject_ref"], toy_photo(1)).status_code
    ended = person("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()
    swept(service)
    again = service.consent(person, party)
    positions = rows(in_file(service.vault.data).path, "SELECT position FROM consent_events ORDER BY position")

    assert while_given == 200, "a clock that was wrong does not take a consent away"
    assert ended["state"] == "withdrawn"
    assert ended["event_time"] < given_at
    assert party.verify(consent["subject_ref"], toy_photo(1)).status_code == 404
    assert again["consent_id"] != consent["consent_id"]
    assert positions == [(1,), (2,), (3,)]


def test_every_request_is_answered_while_the_clock_jumps(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), sweep_interval_s=0.05) as service:
        service.clock.advance(days=1)
        scenario = Scenario(
            service.client, service.party(), lambda face, variant: toy_photo(face, variant=variant)
        ).set_up()
        service.clock.advance(days=-2)
        seen = {**statuses(scenario.reads()), **statuses(scenario.writes())}
        swept(service)
        token = scenario.people["reader"]("GET", "/v1/me/tokens").status_code
        erasure = rows(in_file(service.vault.data).path, "SELECT step FROM erasures")

    assert set(seen.values()) <= {200, 201, 204}
    assert (token, erasure) == (200, [("completed",)])


def test_proof_is_deleted_early_by_no_more_than_the_clock_was_wrong(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), proof_retention=timedelta(days=10)) as service:
        person, _, consent = service.enrolled(face=1)
        person("DELETE", f"/v1/me/consents/{consent['consent_id']}")
        left = []
        # The clock is a day fast, on the ninth day and on the tenth, the last day of the proof.
        for days_shown in (10, 11):
            service.clock.moved = timedelta(days=days_shown)
            swept(service)
            left.append(rows(in_file(service.vault.data).path, "SELECT count(*) FROM consent_proofs")[0][0])

    assert left == [1, 0]


def test_rate_limiter_forgets_counts_of_a_future_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise all callers of one address would wait for as long as the clock went back."""
    request, clock = Request({"type": "http", "client": ("192.0.2.1", 1), "headers": []}), MovableClock()
    monkeypatch.setattr("app.web.rate_limit.utc_now", clock)
    monkeypatch.setattr("limits.storage.memory.time.time", lambda: clock().timestamp())
    throttle = RateLimiter("sign-ups", per_minute=2)
    clock.advance(days=1)
    allowed(throttle, request)
    full = [allowed(throttle, request) for _ in range(2)]
    clock.advance(days=-1)
    again = [allowed(throttle, request) for _ in range(3)]

    assert full == [True, False]
    assert again == [True, True, False]


def allowed(throttle: RateLimiter, request: Request) -> bool:
    try:
        throttle.attempt(request)
    except TooManyAttemptsError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.injected
def test_real_program_works_when_the_system_clock_goes_back(root: Path) -> None:
    offset = root / "offset"
    offset.write_text("+1d")
    faked = {
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        # A real change of the system clock does not change the monotonic clock.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "MIEN_SQLITE_BUSY_S": "10",
    }
    with served(root, "env", "LD_PRELOAD=" + library(), **faked) as running:
        scenario = running.scenario()
        ahead = scenario.people["reader"]("GET", "/v1/me").json()["registered_on"]
        offset.write_text("-1d")
        wait_until(lambda: date_of(running).isoformat() < ahead)
        seen = {**statuses(scenario.reads()), **statuses(scenario.writes())}
        behind = running.client.post("/v1/subjects", json={"declared_adult": True}).json()
        wait_until(lambda: not rows(root / "data" / "mien.db", "SELECT 1 FROM erasures WHERE step <> 'completed'"))
        log = running.log()
    days = [row[0] for row in rows(root / "data" / "mien.db", "SELECT DISTINCT registered_on FROM subjects ORDER BY 1")]

    assert set(seen.values()) <= {200, 201, 204}
    assert behind["subject_id"]
    assert (days[-1], len(days)) == (ahead, 2), "the clock did step"
    assert '"fault"' not in log
    assert "failed" not in log


def date_of(running: FaultyProgram) -> date:
    """Return the day that the program's clock shows: the server writes it in each answer."""
    return parsedate_to_datetime(running.client.get("/livez").headers["Date"]).date()


def library() -> str:
    """Return the path of faketime's library in this distribution."""
    (found,) = [
        *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
        *Path("/usr/lib/faketime").glob("libfaketimeMT.so.1"),
    ][:1]
    return os.fspath(found)
