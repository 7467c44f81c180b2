"""A full disk under either store: giving is 503, endings and reads work, and with room everything works again."""

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
import structlog

from app.jobs.maintenance import run_maintenance
from tests.crash import log_files
from tests.faults.disks import fill, full, small_disk
from tests.faults.scenario import ENDINGS, STORAGE, Scenario, contents, outcomes, sound, statuses, unused_keys
from tests.support.service_fixture import Person, RunningService, SharedPool, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

pytestmark = pytest.mark.mounts
NEEDS_NO_KEY = {"verify", "rename", "new token", "lift"}
"""Writes that do not change the register."""


def scenario_of(service: RunningService) -> Scenario:
    return Scenario(service.client, service.party(), lambda face, variant: toy_photo(face, variant=variant)).set_up()


def refused(answered: Mapping[str, tuple[int, str | None]]) -> set[str]:
    """Return the answers that are the problem document of a failing store."""
    return {name for name, answer in answered.items() if answer == STORAGE}


def names(service: RunningService) -> set[str]:
    """Return the names of all files except SQLite's side files."""
    return {path.name for path, _ in service.files() if not path.name.endswith(("-wal", "-shm"))}


@pytest.mark.parametrize("store", ["data", "keys"])
def test_full_disk_is_reported_and_only_endings_are_written(root: Path, pool: SharedPool, store: str) -> None:
    with small_disk(root / store), serving(root, pool, toy_card()) as service:
        scenario = scenario_of(service)
        writes, reads, files = scenario.writes(), scenario.reads(), names(service)
        service.vault.checkpoint_all()
        giving = {name: ask for name, ask in writes.items() if name not in ENDINGS}
        before = contents(in_file(service.vault.data).path)
        with full(root / store):
            answered, seen = outcomes(giving), statuses(reads)
            during = contents(in_file(service.vault.data).path)
            ended = statuses({name: ask for name, ask in writes.items() if name in ENDINGS})
        run_maintenance(service.vault, settings=service.settings, now=service.clock())
        idle, left, whole = unused_keys(root), names(service), sound(root) and not log_files.found_in(root, ())

    if store == "data":
        assert refused(answered) == set(giving)
        assert during == before
    else:
        assert refused(answered) == set(giving) - NEEDS_NO_KEY
    assert set(ended.values()) <= {200, 201, 204}, ended
    assert set(seen.values()) == {200}
    assert (idle, left, whole) == (set(), files, True)


@pytest.mark.parametrize("store", ["data", "keys"])
def test_service_works_again_with_room(root: Path, pool: SharedPool, store: str) -> None:
    with small_disk(root / store), serving(root, pool, toy_card(), sweep_interval_s=0.1) as service:
        scenario = scenario_of(service)
        writes = {name: ask for name, ask in scenario.writes().items() if name != "recover"}
        service.vault.checkpoint_all()
        with full(root / store):
            outcomes(writes)
        # Maintenance may have finished erasures and ends that began on the full disk.
        again = {name: answer for name, answer in statuses(writes).items() if name not in ENDINGS}
        withdrawn = [scenario.verify(name) for name in ("withdraw", "refuse", "erase", "restrict")]
        gone = scenario.people["erase"]("GET", "/v1/me").status_code
        whole = sound(root) and not log_files.found_in(root, ())

    assert set(again.values()) <= {200, 201}
    assert [answer.status_code for answer in withdrawn] == [404] * 4
    assert (gone, whole) == (401, True)


@pytest.mark.parametrize("store", ["data", "keys"])
def test_recovery_on_a_full_disk_leaves_one_valid_code(root: Path, pool: SharedPool, store: str) -> None:
    """No subject is left without a valid code."""
    with small_disk(root / store), serving(root, pool, toy_card()) as service:
        person = service.person()
        service.vault.checkpoint_all()
        with full(root / store):
            answer = recover(person)
        run_maintenance(service.vault, settings=service.settings, now=service.clock())
        code = answer.json().get("recovery_code", person.recovery_code)
        old, again = recover(person), service.client.post("/v1/recoveries", json={"recovery_code": code})

    assert answer.status_code in {201, 503}
    assert 201 in {old.status_code, again.status_code}


def recover(person: Person) -> httpx.Response:
    return person.client.post("/v1/recoveries", json={"recovery_code": person.recovery_code})


def test_end_without_ballast_on_a_full_disk_is_finished_with_room(root: Path, pool: SharedPool) -> None:
    """The key is destroyed before the write fails: the consent is dead at once, and maintenance removes its row."""
    with small_disk(root / "data"), serving(root, pool, toy_card()) as service:
        scenario = scenario_of(service)
        writes = scenario.writes()
        service.vault.checkpoint_all()
        # Another program took the space.
        with full(root / "data") as filler:
            in_file(service.vault.data).ballast.release()
            fill(filler)
            answer, refusal = writes["withdraw"](), scenario.verify("withdraw")
        run_maintenance(service.vault, settings=service.settings, now=service.clock())
        consents = scenario.people["withdraw"]("GET", "/v1/me/consents").json()
        again = writes["withdraw"]()

    assert (answer.status_code, refusal.status_code, again.status_code) == (503, 404, 200)
    assert "withdrawn" in str(consents)


def test_full_disk_and_its_end_are_logged_once(root: Path, pool: SharedPool) -> None:
    with (
        structlog.testing.capture_logs() as lines,
        small_disk(root / "data"),
        serving(root, pool, toy_card()) as service,
    ):
        service.vault.checkpoint_all()
        with full(root / "data"):
            for _ in range(5):
                service.client.post("/v1/subjects", json={"declared_adult": True})
        service.person()
    logged = [line for line in lines if line["event"].startswith("storage")]

    assert [line["event"] for line in logged] == ["storage fails", "storage works again"]
    assert (logged[0]["store"], logged[0]["error"], logged[0]["means"]) == (
        "mien.db",
        "SQLITE_FULL",
        "the disk is full: make room",
    )
