"""The real program on a failing disk: libfiu makes its system calls fail or tear writes."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.crash import log_files
from tests.faults.running_service import FaultyProgram, photo, served, under_libfiu
from tests.faults.scenario import ENDINGS, STORAGE, Scenario, outcomes, sound, statuses, unused_keys
from tests.support.byte_scan import rows
from tests.support.service_fixture import Party, Person, copied
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.injected, pytest.mark.slow]
EIO, EROFS = 5, 30
FAULTS = {
    "a write that fails": ("SQLITE_IOERR_WRITE", {"posix/io/rw/pwrite": EIO}),
    "a disk that became read-only": (
        "SQLITE_IOERR_WRITE",
        {"posix/io/rw/pwrite": EROFS, "posix/io/rw/ftruncate": EROFS},
    ),
    "a sync that fails": ("SQLITE_IOERR_FSYNC", {"posix/io/sync/fdatasync": EIO}),
}


@pytest.fixture(scope="module")
def running(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyProgram]:
    root = copied(prepared, tmp_path_factory.mktemp("failing") / "service")
    with served(root, *under_libfiu(root)) as one:
        yield one


@pytest.mark.parametrize("fault", FAULTS)
def test_failed_write_is_reported_and_rolled_back(running: FaultyProgram, fault: str) -> None:
    name, calls = FAULTS[fault]
    scenario = running.scenario()
    writes, reads = scenario.writes(), scenario.reads()
    logged_before = len(running.log())
    running.fault(*(f"enable name={call},failinfo={number}" for call, number in calls.items()))
    answered, seen = outcomes(writes), statuses(reads)
    running.fault(*(f"disable name={call}" for call in calls))
    again = {name: status for name, status in statuses(writes).items() if name not in ENDINGS}
    gone = [scenario.verify(name).status_code for name in ("withdraw", "refuse", "restrict", "erase")]
    log = [json.loads(line) for line in running.log()[logged_before:].splitlines()]

    assert {name: answer for name, answer in answered.items() if answer != STORAGE} == {}
    assert set(seen.values()) == {200}
    assert set(again.values()) <= {200, 201}
    assert gone == [404] * 4
    assert Counter(line["error"] for line in log if line["event"] == "storage fails")[name] <= 2, "once for each store"
    assert {line["event"] for line in log} >= {"storage fails", "storage works again"}
    assert not [line for line in log if line["event"] == "fault"]
    assert sound(running.root)
    assert log_files.found_in(running.root, ()) == []
    wait_until(lambda: not unused_keys(running.root))


@dataclass
class Promised:
    """The successful answers, which must hold."""

    people: list[Person] = field(default_factory=list)
    consents: dict[str, str] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    leaves: set[str] = field(default_factory=set)
    """Leaves of the receipts, which the transparency log must have later."""
    answers: Counter[int] = field(default_factory=Counter)

    def ask(self, running: FaultyProgram, party_id: str, chance: random.Random) -> None:
        """Register a subject who consents and perhaps withdraws."""
        answer = running.client.post("/v1/subjects", json={"declared_adult": True, "display_name": "Torn Canary"})
        self.answers[answer.status_code] += 1
        if answer.status_code != httpx.codes.CREATED:
            return
        given = answer.json()
        person = Person(running.client, given["subject_id"], given["access_token"], given["recovery_code"])
        self.people.append(person)
        consent = self._noted(Scenario(running.client, Party(running.client, party_id, ""), photo).consent(person))
        if consent is None:
            return
        self.consents[person.token] = consent
        if chance.random() < 1 / 2:
            answer = person("DELETE", f"/v1/me/consents/{consent}")
            self.answers[answer.status_code] += 1
            if answer.status_code == httpx.codes.OK:
                self.withdrawn.add(consent)
                self.leaves.add(answer.json()["receipt"]["leaf"])
            else:
                # It may have ended or not, so the check below leaves it out.
                del self.consents[person.token]

    def _noted(self, answer: httpx.Response) -> str | None:
        self.answers[answer.status_code] += 1
        if answer.status_code != httpx.codes.CREATED:
            return None
        self.leaves.add(answer.json()["receipt"]["leaf"])
        return str(answer.json()["consent_id"])


@pytest.mark.parametrize("seed", [1, 2])
def test_answers_hold_after_torn_writes_and_a_kill(root: Path, seed: int) -> None:
    """Each write is done in two halves. Sometimes the second half or the sync fails; then the process dies."""
    chance, promised = random.Random(seed), Promised()  # noqa: S311 - repeatable
    with served(root, *under_libfiu(root), MIEN_SWEEP_INTERVAL_S="3600") as running:
        party = running.party(f"Door {uuid4()}")
        running.fault(
            "enable name=posix/io/rw/pwrite/reduce",
            f"enable_random name=posix/io/rw/pwrite,probability=0.004,failinfo={EIO}",
            f"enable_random name=posix/io/sync/fdatasync,probability=0.004,failinfo={EIO}",
        )
        # libfiu fails calls at random: go on until each status has come a few times.
        for asked in range(1500):
            promised.ask(running, party.id, chance)
            if asked >= 20 and min(promised.answers[status] for status in (200, 201, 503)) >= 3:
                break
        running.kill()
    with served(root) as again:
        found = [ask_again(again, person) for person in promised.people]
        consents = {row[0] for row in rows(root / "data" / "mien.db", "SELECT id FROM grants")}
        people = {row[0] for row in rows(root / "data" / "mien.db", "SELECT id FROM subjects")}

    standing = {one for one in promised.consents.values() if one not in promised.withdrawn}
    assert set(promised.answers) == {200, 201, 503}
    assert found == [200] * len(promised.people)
    assert people == {person.subject_id.replace("-", "") for person in promised.people}, "and no other subject"
    assert consents >= {one.replace("-", "") for one in standing}
    assert not consents & {one.replace("-", "") for one in promised.withdrawn}
    assert log_files.found_in(root, promised.leaves) == []
    assert sound(root)


def ask_again(running: FaultyProgram, person: Person) -> int:
    return running.client.get("/v1/me", headers={"Authorization": f"Bearer {person.token}"}).status_code
