"""A stranger fills the disk of a running service: every ending still works, also after a kill and a new start.

Both stores are on one small disk, with the default ballast.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import MIB, Settings
from tests.faults.disks import fill, small_disk
from tests.faults.running_service import photo
from tests.faults.scenario import ENDINGS, STORAGE, Scenario, problem, sound, statuses
from tests.support.launcher import run_program
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.mounts, pytest.mark.slow]
BALLAST = Settings.model_fields["ending_ballast_mib"].default * MIB
DISK_MIB = 56
LEFT_FOR_THE_STRANGER = 256 * 1024
GONE = ("withdraw", "refuse", "erase", "restrict", "delete an enrolment")


def moved(scenario: Scenario, client: httpx.Client) -> Scenario:
    """Return the scenario with the client of the restarted service."""
    people = {name: replace(person, client=client) for name, person in scenario.people.items()}
    return replace(scenario, client=client, party=replace(scenario.party, client=client), people=people)


def endings(scenario: Scenario) -> Mapping[str, Callable[[], httpx.Response]]:
    return {name: ask for name, ask in scenario.writes().items() if name in ENDINGS}


def sign_up(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/subjects", json={"declared_adult": True, "display_name": "Stranger " + "x" * 80})


def sign_up_until_refused(client: httpx.Client) -> int:
    """Sign up until the service has no room. Returns how many succeeded."""
    for number in range(10_000):
        answer = sign_up(client)
        if answer.status_code != httpx.codes.CREATED:
            assert (answer.status_code, problem(answer)) == STORAGE
            return number
    pytest.fail("the disk was not full")


def ballast(stores: Path) -> dict[str, tuple[int, int]]:
    """Return the allocated bytes and the mode of each ballast."""
    files = {path.name: path.stat() for path in stores.rglob("*.ballast")}
    return {name: (found.st_blocks * 512, found.st_mode & 0o777) for name, found in files.items()}


def check_ended(scenario: Scenario) -> None:
    """Check what a relying party and the subjects see after all endings."""
    assert [scenario.verify(name).status_code for name in GONE] == [404] * len(GONE)
    assert scenario.people["erase"]("GET", "/v1/me").status_code == httpx.codes.UNAUTHORIZED
    assert scenario.people["restrict"]("GET", "/v1/me").json()["restricted"] is True


def test_every_ending_works_on_a_disk_that_a_stranger_filled(tmp_path: Path) -> None:
    root, stores = tmp_path / "service", tmp_path / "service" / "stores"
    stores.mkdir(parents=True, mode=0o700)
    filler = stores / "filler"
    settings: dict[str, Any] = {
        "MIEN_ENGINE": "sface",
        "MIEN_ENGINE_WORKERS": "1",
        "MIEN_SWEEP_INTERVAL_S": "0.5",
        "MIEN_DATA_DIR": str(stores / "data"),
        "MIEN_KEYS_DIR": str(stores / "keys"),
    }
    with small_disk(stores, mib=DISK_MIB):
        with run_program(root, **settings) as program:
            before = ballast(stores)
            first, second = (Scenario(program.client, program.party(name), photo).set_up() for name in ("A", "B"))
            ask_first = endings(first)
            fill(filler)
            with filler.open("ab") as file:
                file.truncate(filler.stat().st_size - LEFT_FOR_THE_STRANGER)
            strangers = sign_up_until_refused(program.client)
            fill(filler)
            # Not only the first ending: each one finds the room that the last one gave back.
            ended = statuses(ask_first)
            check_ended(first)
            # An erasure made room.
            fill(filler)
            refused, ready = sign_up(program.client), program.client.get("/readyz")
            program.kill()
        # The new process finds no room either, not even for SQLite's side files.
        fill(filler)
        with run_program(root, wait=False, **settings) as program:
            second = moved(second, program.client)
            ended_later = statuses(endings(second))
            check_ended(second)
            fill(filler)
            refused_later, ready_later = sign_up(program.client), program.client.get("/readyz")
            filler.unlink()
            wait_until(lambda: program.client.get("/readyz").status_code == httpx.codes.OK)
            after, again = ballast(stores), sign_up(program.client)
            wait_until(lambda: "mien_erasures_in_progress 0.0" in program.client.get("/metrics").text)
        whole = sound(stores)

    assert before == dict.fromkeys(("mien.ballast", "register.ballast"), (BALLAST, 0o600))
    assert strangers > 0
    assert ended.keys() == ended_later.keys() == ENDINGS
    assert set(ended.values()) | set(ended_later.values()) <= {200, 201, 204}, (ended, ended_later)
    for answer in (refused, refused_later):
        assert (answer.status_code, problem(answer)) == STORAGE
    for answer in (ready, ready_later):
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert "the disk is full" in str(answer.json()["reasons"])
    assert (after, again.status_code, whole) == (before, 201, True)
