"""Failed comparisons delay the next one, for each party and for all together, and never a right."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from app.comparisons import maintenance
from tests.comparisons.failures import fail, waits
from tests.consent.spies import watch_pipe
from tests.support.byte_scan import Needles, files_under, live_keys, openable, rows
from tests.support.service_fixture import Party, RunningService, SharedPool, enrol, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo


def test_after_five_failures_the_next_waits_and_no_image_is_read(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, party, consent = service.enrolled(face=1)
    pipe = watch_pipe(monkeypatch)
    statuses = fail(party, consent, 5)
    read = len(pipe)

    refused = party.verify(consent["subject_ref"], toy_photo(1))
    not_even_an_image = party.verify(consent["subject_ref"], b"no image")

    assert statuses == [200] * 5
    assert 28 <= waits(refused) <= 30
    assert not_even_an_image.status_code == 429
    assert (read, len(pipe)) == (5, 5), "no image was read for the refusals"
    assert refused.headers["cache-control"] == "no-store"


def test_the_wait_doubles_and_a_match_ends_it(service: RunningService) -> None:
    _, party, consent = service.enrolled(face=1)
    fail(party, consent, 5)
    found = []
    for _ in range(4):
        left = waits(party.verify(consent["subject_ref"], toy_photo(1)))
        found.append(round(left / 30))
        service.clock.advance(seconds=left + 1)
        fail(party, consent)
    service.clock.advance(seconds=481)
    matched = party.verify(consent["subject_ref"], toy_photo(1)).json()["decision"]

    assert found == [1, 2, 4, 8]
    assert matched == "match"
    assert fail(party, consent, 6) == [200] * 5 + [429], "five are free again"


def test_another_relying_party_and_another_person_do_not_wait(service: RunningService) -> None:
    person, door, at_door = service.enrolled(face=1)
    gate = service.party("Gate")
    at_gate = service.consent(person, gate)
    enrol(person, [at_gate["consent_id"]], [toy_photo(1)])
    _, _, other = service.enrolled(face=1, party=door)
    fail(door, at_door, 5)

    assert fail(door, at_door) == [429]
    assert gate.verify(at_gate["subject_ref"], toy_photo(1)).json()["decision"] == "match"
    assert door.verify(other["subject_ref"], toy_photo(1)).json()["decision"] == "match"


def test_an_unsuitable_photo_is_no_failure(service: RunningService) -> None:
    _, party, consent = service.enrolled(face=1)
    refused = [party.verify(consent["subject_ref"], toy_photo()).status_code for _ in range(8)]

    assert refused == [422] * 8
    assert fail(party, consent, 5) == [200] * 5


def test_the_day_is_over_all_relying_parties(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), failures_per_day=7) as service:
        person, door, at_door = service.enrolled(face=1)
        gate = service.party("Gate")
        at_gate = service.consent(person, gate)
        enrol(person, [at_gate["consent_id"]], [toy_photo(1)])
        first = fail(door, at_door, 4) + fail(gate, at_gate, 3)
        refused = [
            waits(one.verify(ref["subject_ref"], toy_photo(1))) for one, ref in ((door, at_door), (gate, at_gate))
        ]
        service.clock.advance(hours=23, minutes=59)
        before = fail(gate, at_gate)
        service.clock.advance(minutes=2)
        after = gate.verify(at_gate["subject_ref"], toy_photo(1)).json()["decision"]

    assert first == [200] * 7
    assert all(86_390 <= left <= 86_400 for left in refused)
    assert (before, after) == ([429], "match")


def test_parallel_requests_get_no_more_decisions_than_sequential_ones(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)

    def again(_number: int) -> int:
        for _ in range(200):
            status = party.verify(consent["subject_ref"], toy_photo(2)).status_code
            if status != 503:
                return status
        return 503

    with ThreadPoolExecutor(20) as threads:
        answered = list(threads.map(again, range(100)))

    assert sorted(set(answered)) == [200, 429]
    assert answered.count(200) == 5
    assert len(person("GET", "/v1/me/comparisons", params={"limit": 200}).json()["items"]) == 5


def test_the_limit_is_checked_again_with_the_decision(
    service: RunningService,
) -> None:
    """All requests passed the first check before one failed; the last would have matched."""
    _, party, consent = service.enrolled(face=1)
    fail(party, consent, 4)
    left = [1]

    def meanwhile() -> None:
        if left:
            left.clear()
            assert fail(party, consent) == [200]

    service.pool.after = meanwhile
    late = party.verify(consent["subject_ref"], toy_photo(1))

    assert waits(late) <= 30
    assert len(rows(in_file(service.vault.data).path, "SELECT id FROM comparisons")) == 5


def test_a_restart_keeps_the_failures(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        _, party, consent = service.enrolled(face=1)
        fail(party, consent, 5)
    with serving(root, pool, toy_card()) as service:
        again = Party(service.client, party.id, party.key)

        assert waits(again.verify(consent["subject_ref"], toy_photo(1))) > 0


def test_a_clock_that_is_set_back_causes_no_wait(service: RunningService) -> None:
    _, party, consent = service.enrolled(face=1)
    service.clock.advance(days=2)
    fail(party, consent, 5)
    ahead = fail(party, consent)
    service.clock.moved = timedelta()

    assert ahead == [429]
    assert party.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] == "match"


def test_the_failures_are_sealed_shown_to_the_person_and_erased_with_them(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    fail(party, consent, 2)
    service.vault.checkpoint_all()
    needles = Needles().text("the relying party in a count", f'"relying_party_id": "{party.id}", "in_a_row"')
    clear = needles.found(files_under(service.root / "data"))
    held = person("GET", "/v1/me/access").json()["data"]["attempts"]
    opened = openable(in_file(service.vault.data).path, live_keys(service.root))
    person("DELETE", "/v1/me").raise_for_status()

    assert clear == []
    (one,) = held
    assert [failure["relying_party_id"] for failure in one["content"]["failures"]] == [party.id] * 2
    assert json.loads(opened["attempts", UUID(one["id"])]) == one["content"]
    assert rows(in_file(service.vault.data).path, "SELECT * FROM attempts") == []


def test_maintenance_deletes_failures_after_two_days(service: RunningService) -> None:
    _, party, consent = service.enrolled(face=1)
    fail(party, consent)
    kept = [
        maintenance.delete_expired_counts(service.vault, service.settings, now=service.clock() + timedelta(days=days))
        for days in (0, 1)
    ]
    there = rows(in_file(service.vault.data).path, "SELECT id FROM attempts")
    maintenance.delete_expired_counts(service.vault, service.settings, now=service.clock() + timedelta(days=2))

    assert (kept[0], len(there)) == (0, 1)
    assert rows(in_file(service.vault.data).path, "SELECT id FROM attempts") == []


def test_rights_are_never_throttled(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    fail(party, consent, 6)
    asked = [
        person("GET", path).status_code
        for path in ("/v1/me", "/v1/me/access", "/v1/me/export", "/v1/me/comparisons", "/v1/me/consents")
        for _ in range(3)
    ]
    again = enrol(person, [consent["consent_id"]], [toy_photo(1, variant=3)]).status_code
    (line, *_) = person("GET", "/v1/me/comparisons").json()["items"]
    dispute = f"/v1/me/comparisons/{line['comparison_id']}/dispute"
    others = [
        person(method, path).status_code
        for method, path in (
            ("PUT", dispute),
            ("DELETE", dispute),
            ("PUT", "/v1/me/restriction"),
            ("DELETE", "/v1/me/restriction"),
        )
    ]
    still = fail(party, consent)
    ended = person("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()["state"]
    erased = person("DELETE", "/v1/me").json()["status"]

    assert set(asked) == {200}
    assert (again, others) == (201, [200] * 4)
    assert (still, ended, erased) == ([429], "withdrawn", "completed")
