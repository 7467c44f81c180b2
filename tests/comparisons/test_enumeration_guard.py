"""A party that tries one photo against many references is blocked, and the people concerned are informed."""

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.comparisons import enumeration_guard, maintenance
from tests.comparisons.failures import fail, waits
from tests.consent.spies import watch_pipe
from tests.support.byte_scan import Needles, files_under, rows
from tests.support.launcher import run_here
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.transparency.joined_leaves import open_stores
from tests.transparency.pending_leaves import pending_acts

FEW = 4


def people(service: RunningService, party: Party, count: int) -> list[tuple[Person, dict[str, Any]]]:
    """Enrol people for a relying party."""
    enrolled = [service.enrolled(face=10 + number, party=party) for number in range(count)]
    return [(person, consent) for person, _, consent in enrolled]


def acts(service: RunningService) -> list[str]:
    """Return the acts of the pending leaves."""
    return sorted(pending_acts(service.vault).values())


def test_too_many_references_block_the_party_for_every_reference(
    root: Path, pool: SharedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(root, pool, toy_card(), failed_references=FEW) as service:
        door, gate = service.party("Door"), service.party("Gate")
        known = people(service, door, FEW + 1)
        (_, elsewhere) = people(service, gate, 1)[0]
        tried = [fail(door, consent) for _, consent in known[:FEW]]
        pipe = watch_pipe(monkeypatch)
        refused = [door.verify(one, toy_photo(14)) for one in (known[FEW][1]["subject_ref"], "unknown")]
        read = list(pipe)
        other = gate.verify(elsewhere["subject_ref"], toy_photo(10)).json()["decision"]
        service.clock.advance(seconds=3605)
        after = door.verify(known[FEW][1]["subject_ref"], toy_photo(10 + FEW)).json()["decision"]

    assert tried == [[200]] * FEW
    assert all(3590 <= waits(one) <= 3600 for one in refused)
    assert refused[0].content == refused[1].content
    assert (read, other, after) == ([], "match", "match")


def test_each_person_concerned_and_the_operator_are_informed_of_a_block(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), failed_references=FEW) as service:
        door = service.party("Door")
        known = people(service, door, FEW)
        before = acts(service)
        with capture_logs() as logged:
            for _, consent in known[:-1]:
                fail(door, consent)
            early = acts(service)
            fail(door, known[-1][1])
        shown = [person("GET", "/v1/me/comparisons").json()["items"] for person, _ in known]
        entries = [person("GET", "/v1/me/access").json()["data"]["entries"] for person, _ in known]
        new = acts(service)
        open_ = rows(in_file(service.vault.data).path, "SELECT record FROM pending_leaves WHERE record LIKE '%sweep%'")

    assert not {"sweep_stopped", "sweep_touched"} & {*before, *early}
    assert (new.count("sweep_stopped"), new.count("sweep_touched")) == (1, FEW)
    assert [[item["in_sweep"] for item in items] for items in shown] == [[True]] * FEW
    assert all([one["content"]["record"]["act"] for one in mine].count("sweep_touched") == 1 for mine in entries)
    ((record,),) = open_
    assert json.loads(record).keys() == {"act", "relying_party_id", "on"}
    assert [
        (one["log_level"], one["references"], one["people"]) for one in logged if "enumeration" in one["event"]
    ] == [("warning", FEW, FEW)]


def test_unknown_references_count_and_each_once(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), failed_references=FEW) as service:
        person, door, consent = service.enrolled(face=1)
        same = [door.verify("unknown", toy_photo(1)).status_code for _ in range(3 * FEW)]
        matched = door.verify(consent["subject_ref"], toy_photo(1)).status_code
        others = [door.verify(secrets.token_urlsafe(18), b"no image").status_code for _ in range(FEW)]
        line = person("GET", "/v1/me/comparisons").json()["items"][0]

    assert (set(same), matched) == ({404}, 200)
    assert others == [404] * (FEW - 1) + [429]
    assert line["in_sweep"] is False, "it matched, so it is no failure"


def test_parallel_requests_get_no_more_decisions(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), failed_references=FEW) as service:
        door = service.party("Door")
        known = people(service, door, 3 * FEW)

        def try_one(consent: dict[str, Any]) -> int:
            while (status := fail(door, consent)[0]) == 503:
                pass
            return status

        with ThreadPoolExecutor(8) as threads:
            answered = list(threads.map(try_one, [consent for _, consent in known]))

    assert answered.count(200) == FEW
    assert set(answered) == {200, 429}


def test_a_block_outlasts_a_restart_and_is_shown_to_the_operator(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), failed_references=FEW) as service:
        door = service.party("Door")
        for number in range(FEW):
            door.verify(f"unknown {number}", toy_photo(1))
    listed = run_here(root, "relying-party", "list", "--json")
    printed = run_here(root, "relying-party", "list")
    with serving(root, pool, toy_card(), failed_references=FEW) as service:
        refused = Party(service.client, door.id, door.key).verify("unknown", toy_photo(1))

    (one,) = json.loads(listed.stdout)["relying_parties"]
    assert (one["name"], one["purposes"], one["revoked_on"]) == ("Door", ["verification"], None)
    assert one["stopped_until"] is not None
    assert "stopped until" in printed.stdout
    assert waits(refused) > 0


def test_a_restart_keeps_the_counted_references(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), failed_references=FEW) as service:
        door = service.party("Door")
        for number in range(FEW - 1):
            door.verify(f"unknown {number}", toy_photo(1))
    with serving(root, pool, toy_card(), failed_references=FEW) as service:
        again = Party(service.client, door.id, door.key)
        answers = [again.verify(f"unknown {FEW}", toy_photo(1)).status_code, again.verify("x", b"").status_code]

    assert answers == [404, 429]


def test_a_clock_that_is_set_back_blocks_no_party(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), failed_references=1) as service:
        _, door, consent = service.enrolled(face=1)
        service.clock.advance(days=1)
        stopped = fail(door, consent) + fail(door, consent)
        service.clock.moved = timedelta()
        after = door.verify(consent["subject_ref"], toy_photo(1)).status_code

    assert (stopped, after) == ([200, 429], 200)


def test_references_are_not_readable_in_the_files_and_are_deleted_after_the_window(service: RunningService) -> None:
    _, door, consent = service.enrolled(face=1)
    fail(door, consent)
    door.verify("an-unknown-reference", toy_photo(1))
    service.vault.checkpoint_all()
    needles = Needles().text("reference", "an-unknown-reference")
    found = needles.found(files_under(service.root / "data", service.root / "keys"))
    counted = rows(in_file(service.vault.data).path, "SELECT relying_party_id FROM failed_references")
    maintenance.delete_expired_counts(service.vault, service.settings, now=service.clock())
    before = rows(in_file(service.vault.data).path, "SELECT relying_party_id FROM failed_references")
    forgotten = maintenance.delete_expired_counts(
        service.vault, service.settings, now=service.clock() + timedelta(seconds=3601)
    )

    assert found == []
    assert (len(counted), before, forgotten) == (1, counted, 1)
    assert rows(in_file(service.vault.data).path, "SELECT * FROM failed_references") == []


def test_subjects_are_informed_although_another_was_erased(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), failed_references=FEW) as service:
        door = service.party("Door")
        known = people(service, door, FEW)
        for _, consent in known[:-1]:
            fail(door, consent)
        assert known[0][0]("DELETE", "/v1/me").json()["status"] == "completed"
        fail(door, known[-1][1])
        marked = [person("GET", "/v1/me/comparisons").json()["items"][0]["in_sweep"] for person, _ in known[1:]]

    assert marked == [True] * (FEW - 1)


def test_rights_are_answered_while_a_party_is_blocked(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), failed_references=1) as service:
        person, door, consent = service.enrolled(face=1)
        fail(door, consent)
        stopped = fail(door, consent)
        asked = [person("GET", path).status_code for path in ("/v1/me/access", "/v1/me/export", "/v1/me/comparisons")]
        listed = door("GET", "/v1/relying-party/subjects").status_code
        ended = person("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()["state"]
        erased = person("DELETE", "/v1/me").json()["status"]

    assert (stopped, asked, listed) == ([429], [200] * 3, 200)
    assert (ended, erased) == ("withdrawn", "completed")


def test_the_key_of_the_counts_is_made_once(root: Path) -> None:
    with open_stores(root) as vault:
        enumeration_guard.create_key(vault)
        enumeration_guard.create_key(vault)

        assert vault.register.keys_left([enumeration_guard.KEY_OWNER.digest]) == 1
