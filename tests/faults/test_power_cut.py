"""A power cut at any moment: answers hold, and a request in progress is complete or undone, without an operator.

A real service is recorded while people send every kind of request, one after the other. For a cut at any moment of the
record, the test makes the files that the disk may have: synced or not, torn or not. Then it starts a service on them.
"""

import random
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.jobs.maintenance import purge_dead_rows, run_maintenance
from app.settings import Settings
from app.vault.open import check, open_vault
from tests.crash import log_files
from tests.faults.power_cut import Disk, Event, events, under_strace
from tests.faults.running_service import FaultyProgram, served
from tests.faults.scenario import sound, unused_keys
from tests.support.byte_scan import owners, rows, slots
from tests.support.service_fixture import copied

pytestmark = [pytest.mark.injected, pytest.mark.slow]
CUTS = 120
HELD = ("subjects", "grants", "templates", "tokens", "comparisons")
WITH_A_RECEIPT = {"new consent", "rename", "lift", "withdraw", "refuse", "restrict", "erase"}
State = Mapping[str, frozenset[Any]]


@dataclass
class Recorded:
    """The events of the disk, and the state after each request."""

    root: Path
    disk: Disk
    happened: list[Event]
    states: list[State]
    requests: list[bytes]
    names: list[str]
    leaves: list[set[str]]
    """The leaf that the receipt of each answer promised."""


def state(root: Path) -> State:
    """Return the state that a person or a relying party would notice: the ids of rows, and the state of people.

    A record that is written when dead rows are deleted has another id, at the same position of the subject's list.
    """
    database = root / "data" / "mien.db"
    ids = {name: frozenset(rows(database, f"SELECT id FROM {name}")) for name in HELD}  # noqa: S608 - fixed names
    people = rows(database, "SELECT id, sealed_name, spell_id IS NULL, erasing FROM subjects")
    lists = {
        name: frozenset(rows(database, f"SELECT subject_id, position FROM {name}"))  # noqa: S608 - fixed names
        for name in ("consent_events", "receipts", "entries")
    }
    erasures = rows(database, "SELECT id, step FROM erasures")
    return {**ids, **lists, "people": frozenset(people), "erasures": frozenset(erasures)}


def files_of(root: Path) -> dict[str, bytearray]:
    return {str(path): bytearray(path.read_bytes()) for path in root.rglob("*") if path.suffix == ".db"}


def identified(client: httpx.Client) -> list[bytes]:
    """Return a list that gets the id of every request of *client*."""
    ids: list[bytes] = []
    client.headers["X-Request-Id"] = "wanted"
    client.event_hooks["response"].append(lambda answer: ids.append(answer.headers["X-Request-Id"].encode()))
    return ids


@pytest.fixture(scope="module")
def recorded(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    root = copied(prepared, tmp_path_factory.mktemp("cut") / "service")
    record, disk = root.parent / "record", Disk(files_of(root), [])
    with served(root, *under_strace(record), MIEN_SWEEP_INTERVAL_S="3600", MIEN_LOG_INTERVAL="0.5") as running:
        writes = running.scenario().writes()
        requests, states = identified(running.client), [state(root)]
        asked, leaves = [], []
        for ask in writes.values():
            answer = ask()
            receipt = answer.json().get("receipt") if answer.content else None
            leaves.append({receipt["leaf"]} if receipt else set())
            # A consent reads the notice first, so the last request is the one that writes.
            asked.append(requests[-1])
            states.append(state(root))
        stopped(running)
    return Recorded(root, disk, events(record, root), states, asked, list(writes), leaves)


def stopped(running: FaultyProgram) -> None:
    """Kill the service and not strace, whose record is complete only when it ends."""
    (service,) = psutil.Process(running.process.pid).children()
    service.kill()
    running.process.wait(300)


def revived(root: Path, at: Path, files: Mapping[str, bytearray], *, promised: Iterable[str]) -> tuple[State, int]:
    """Start on the files. Returns the state, and the number of keys without an owner."""
    shutil.rmtree(at, ignore_errors=True)
    for path, content in files.items():
        place = at / Path(path).relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    shutil.copy(root / "keys" / "kek", at / "keys" / "kek")
    settings = Settings(data_dir=at / "data", keys_dir=at / "keys")
    vault = open_vault(settings)
    check(vault)
    purge_dead_rows(vault, settings=settings, now=datetime.now(UTC))
    run_maintenance(vault, settings=settings, now=datetime.now(UTC))
    vault.close()
    assert sound(at)
    assert log_files.found_in(at, promised) == []
    assert set(owners(at / "data" / "mien.db")) <= {owner for owner, _, _ in slots(at)}, "a dead row is not served"
    return state(at), len(unused_keys(at))


def test_answers_hold_after_a_power_cut_at_any_moment(recorded: Recorded, tmp_path: Path) -> None:
    chance = random.Random(20261123)  # noqa: S311 - repeatable
    answers = sorted(answered_at(recorded, one) for one in recorded.requests)
    bounds = [answers[0] - 40, *answers, len(recorded.happened) - 1]
    # The same number in each request: some have few events.
    spans = [range(earlier + 1, later + 1) for earlier, later in pairwise(bounds)]
    moments = {one for span in spans for one in chance.sample(span, min(len(span), CUTS // len(spans)))}
    seen, torn = set(), 0
    for moment, event in enumerate(recorded.happened):
        if moment in moments:
            done = sum(answered_at(recorded, one) < moment for one in recorded.requests)
            torn += bool(recorded.disk.pending)
            promised = set().union(*recorded.leaves[:done])
            found, unused = revived(recorded.root, tmp_path / "found", recorded.disk.cut(chance), promised=promised)
            allowed = recorded.states[done : done + 2]
            assert found in allowed or ended_unsaid(recorded, done, found), (
                f"cut at {moment}, after {done} answers: {[differs(found, one) for one in allowed]}"
            )
            giving = recorded.names[done : done + 1] in (["sign up"], ["new consent"])
            assert unused <= giving, f"cut at {moment}, after {done} answers: an ended consent or subject has a key"
            seen.add(done)
        recorded.disk.happen(event)

    assert seen >= set(range(len(recorded.requests))), "the cuts fell among all kinds of requests"
    assert sum(map(bool, recorded.leaves)) >= len(WITH_A_RECEIPT), "receipts were promised"
    assert torn >= len(moments) / 4, "many cuts with unsynced writes"


def ended_unsaid(recorded: Recorded, done: int, found: State) -> bool:
    """Return whether a refusal ended the consent but was not recorded; the subject can repeat it."""
    if recorded.names[done : done + 1] != ["refuse"]:
        return False
    after = recorded.states[done + 1]
    lacks = [len(after[name] - found[name]) for name in ("consent_events", "receipts")]
    return set(differs(found, after)) == {"consent_events", "receipts"} and lacks == [1, 1]


def differs(found: State, allowed: State) -> dict[str, Any]:
    return {name: found[name] ^ allowed[name] for name in found if found[name] != allowed[name]}


def answered_at(recorded: Recorded, request: bytes) -> int:
    """Return the position of the answer to a request."""
    return next(at for at, event in enumerate(recorded.happened) if event.kind == "answer" and event.content == request)
