"""The service turns the key-encryption key on its clock, and finishes an interrupted turn."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.jobs import turn_key_encryption_key
from app.jobs.scheduler import ScheduledJob
from app.settings import Settings
from app.vault import rotation
from app.vault.open import open_vault
from app.vault.register import Register
from app.vault.rotation import RotationError
from tests.support.byte_scan import rows
from tests.support.service_fixture import MovableClock, SharedPool, serving, settings_for
from tests.support.toy_engine import toy_card
from tests.support.waiting import wait_until

HELD = True
HOURS = 24


@pytest.fixture
def register(root: Path) -> Iterator[Register]:
    vault = open_vault(settings_for(root))
    with closing(vault.data), closing(vault.register.store):
        yield vault.register


def turns(root: Path) -> int:
    """Count the turns in the records of the transparency log."""
    query = "SELECT record FROM log_open_entries"
    return sum("key_encryption_key_rotated" in record for (record,) in rows(root / "keys" / "register.db", query))


def job(root: Path, register: Register, clock: MovableClock) -> ScheduledJob:
    (only,) = turn_key_encryption_key.jobs(register, settings_for(root, kek_rotate_hours=HOURS), clock=clock)
    return only


def test_key_turns_when_its_time_has_passed_and_not_before(root: Path, register: Register) -> None:
    clock = MovableClock()
    due = job(root, register, clock)
    kept = [(root / "keys" / "kek").read_bytes()]
    for hours in (HOURS - 1, 2, HOURS - 1, 2):
        clock.advance(hours=hours)
        due.run(HELD)
        kept.append((root / "keys" / "kek").read_bytes())

    assert [old == new for old, new in itertools.pairwise(kept)] == [True, False, True, False]
    assert turns(root) == 2


def test_turn_that_the_end_of_the_service_interrupted_is_finished_at_once(
    root: Path, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)
    clock = MovableClock()
    clock.advance(hours=HOURS)
    first = job(root, register, clock)
    first.interrupt()
    with pytest.raises(RotationError, match="its next start finishes"):
        first.run(HELD)
    half = {path.name for path in (root / "keys").glob("kek*")}
    job(root, register, clock).run(HELD)

    assert (half, {path.name for path in (root / "keys").glob("kek*")}) == ({"kek", "kek.next", "kek.old"}, {"kek"})
    assert turns(root) == 1, "one turn, in two parts"


def test_service_turns_the_key_beside_its_requests(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), kek_rotate_hours=HOURS, sweep_interval_s=0.05) as service:
        person = service.person()
        before = (root / "keys" / "kek").read_bytes()
        service.clock.advance(hours=HOURS + 1)
        wait_until(lambda: (root / "keys" / "kek").read_bytes() != before)
        answer = person("GET", "/v1/me")

    assert (answer.status_code, turns(root)) == (200, 1)


@pytest.mark.unit
def test_clock_for_a_key_that_only_the_operator_can_replace_is_refused() -> None:
    with pytest.raises(ValidationError, match="only you can replace MIEN_KEK"):
        Settings(kek="bm90aGluZw==", kek_rotate_hours=HOURS)
