"""What came after a backup that was restored is lost for good: nobody could end it any more; it must not come back."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from app.jobs.maintenance import destroy_discarded_keys
from app.kit import crash_points
from app.parties import service as parties
from app.vault.backup_manifest import BackupError
from app.vault.open import open_vault
from tests.architecture.source import ROOT
from tests.support.byte_scan import SEALED, live_keys, openable, rows, slots
from tests.support.launcher import run_command
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, enrol, serving, settings_for
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.vault.operator import DATA, backed_up, contents, refused, restored

LEFT = "a history that was left"


@dataclass
class Story:
    """Three backups of one history, and who was in it."""

    root: Path
    backups: list[Path]
    stayed: Person
    """Enrolled before the first backup, and again after the second."""
    consented: Person
    """Consented before the first backup, and enrolled after it."""
    consent_id: str
    came: Person
    """Registered and enrolled after the first backup."""
    party: Party

    def at(self, service: RunningService, person: Person) -> Person:
        """Return one of these people, calling *service*."""
        return Person(service.client, person.subject_id, person.token, person.recovery_code)


@pytest.fixture
def story(root: Path, pool: SharedPool, tmp_path: Path) -> Story:
    """A service that was backed up three times, with things given in between; stopped."""
    backups = [tmp_path / f"backup {number}" for number in range(3)]
    with serving(root, pool, toy_card()) as service:
        stayed, party, consent = service.enrolled(face=1)
        consented = service.person("Bea")
        waiting = service.consent(consented, party)["consent_id"]
        backed_up(root, backups[0])
        came, _, _ = service.enrolled(face=2, party=party)
        assert enrol(consented, [waiting], [toy_photo(3)]).status_code == 201
        backed_up(root, backups[1])
        assert enrol(stayed, [consent["consent_id"]], [toy_photo(2)]).status_code == 201
        service.consent(stayed, service.party("Gate"))
        stayed("POST", "/v1/me/tokens", json={"label": "more"}).raise_for_status()
        parties.rotate_key(service.vault, party_id=UUID(party.id), now=service.clock())
        backed_up(root, backups[2])
    return Story(root, backups, stayed, consented, waiting, came, party)


def opened(root: Path, backup: Path) -> set[tuple[str, UUID]]:
    """Return what opens in a backup with the keys of now."""
    return set(openable(backup / "mien.db", live_keys(root, backup / "mien.db")))


def had(backup: Path) -> set[tuple[str, UUID]]:
    """Return every sealed value that a backup has."""
    return {
        (table, UUID(row[0]))
        for table, column in SEALED.items()
        for row in rows(backup / "mien.db", f"SELECT id FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608 - names of our own
    }


def of_a_person_who_stayed(story: Story, backup: Path) -> set[tuple[str, UUID]]:
    """Return what is sealed under the key of a person, and the first backup has the person."""
    stayed = {row[0] for row in rows(story.backups[0] / "mien.db", "SELECT id FROM subjects")}
    return {
        (table, UUID(row[0]))
        for table in ("consent_events", "receipts", "entries")
        for row in rows(backup / "mien.db", f"SELECT id, subject_id FROM {table}")  # noqa: S608 - names of our own
        if row[1] in stayed
    }


def left_histories(root: Path) -> int:
    return len(rows(root / "keys" / "register.db", "SELECT id FROM left_histories"))


def started(story: Story, pool: SharedPool) -> None:
    with serving(story.root, pool, toy_card()):
        pass


def test_what_the_restored_data_lacks_opens_nowhere_after_the_next_start(story: Story, pool: SharedPool) -> None:
    first, *later = story.backups
    restored(story.root, first)
    before = [opened(story.root, one) - had(first) - of_a_person_who_stayed(story, one) for one in later]
    wrapped = {one[2] for one in slots(story.root)}
    started(story, pool)
    after = [opened(story.root, one) - had(first) - of_a_person_who_stayed(story, one) for one in later]
    gone = wrapped - {one[2] for one in slots(story.root)}
    files = contents(story.root).values()

    assert all(("subjects", UUID(story.came.subject_id)) in one for one in before)
    tables = {"subjects", "templates", "consent_events", "receipts", "entries"}
    assert [{table for table, _ in one} for one in before] == [tables] * 2
    assert after == [set(), set()]
    assert len(gone) >= 4
    assert [one for one in gone if any(one in content for content in files)] == [], "in no file and no log"


def test_what_the_restored_data_has_works_as_before(story: Story, pool: SharedPool) -> None:
    restored(story.root, story.backups[1])
    with serving(story.root, pool, toy_card()) as service:
        answers = [story.at(service, one)("GET", "/v1/me/access").status_code for one in (story.stayed, story.came)]
        mine = openable(story.root / DATA, live_keys(story.root))
        again = enrol(story.at(service, story.consented), [story.consent_id], [toy_photo(3)])
        erased = story.at(service, story.came)("DELETE", "/v1/me").json()["status"]

    # A template that was replaced since stays dead; nobody asked for that to be otherwise.
    assert answers == [200, 200]
    new = [json.loads(plain)["record"]["act"] for one, plain in mine.items() if one not in had(story.backups[1])]
    assert new == ["enrolment_deleted"], "that it is gone is told"
    assert len([one for one in mine if one[0] == "templates"]) == 2
    assert (again.status_code, erased) == (201, "completed")


def test_consent_without_an_enrolment_is_in_force_with_a_key_of_its_own(story: Story, pool: SharedPool) -> None:
    restored(story.root, story.backups[0])
    with serving(story.root, pool, toy_card()) as service:
        keys = service.living_keys(story.consent_id)
        enrolled = enrol(story.at(service, story.consented), [story.consent_id], [toy_photo(3)])
    started(story, pool)

    assert keys == {story.consent_id: {3}}, "1 was of the consent, 2 of the enrolment that is lost"
    assert enrolled.status_code == 201
    assert len(rows(story.root / DATA, "SELECT id FROM templates")) == 1, "the other was replaced after the backup"


def test_wrong_backup_is_put_right_until_the_service_is_started(story: Story, pool: SharedPool) -> None:
    newest = story.backups[2]
    for number in (0, 1, 0, 2):
        restored(story.root, story.backups[number])
    with serving(story.root, pool, toy_card()) as service:
        known = [story.at(service, one)("GET", "/v1/me").status_code for one in (story.stayed, story.came)]

    assert known == [200, 200]
    assert opened(story.root, newest) == had(newest)
    assert left_histories(story.root) == 1


def test_backup_of_a_history_that_was_left_is_refused_and_the_data_is_as_it_was(story: Story, pool: SharedPool) -> None:
    restored(story.root, story.backups[1])
    started(story, pool)
    before = contents(story.root)

    assert refused(run_command(story.root, "restore", story.backups[2]), LEFT)
    assert contents(story.root) == before


def test_others_are_restored_the_one_before_and_those_of_the_new_history(
    story: Story, pool: SharedPool, tmp_path: Path
) -> None:
    restored(story.root, story.backups[1])
    early = tmp_path / "before the start"
    backed_up(story.root, early)
    with serving(story.root, pool, toy_card()) as service:
        service.enrolled(face=3, party=service.party("Lift"))
        backed_up(story.root, tmp_path / "since")
    for backup in (early, story.backups[1], story.backups[0]):
        restored(story.root, backup)
    for backup in (tmp_path / "since", story.backups[1], story.backups[0]):
        restored(story.root, backup)
        started(story, pool)

    for backup in (tmp_path / "since", early, story.backups[1], story.backups[2]):
        with pytest.raises(BackupError, match=LEFT):
            restored(story.root, backup)
    with serving(story.root, pool, toy_card()) as service:
        service.enrolled(face=3, party=service.party("Lift"))
        backed_up(story.root, tmp_path / "of now")
    restored(story.root, tmp_path / "of now")
    assert left_histories(story.root) == 4, "one for each start"


def test_history_that_was_left_stays_left_when_a_backup_without_a_start_in_between_is_restored(
    story: Story, pool: SharedPool, tmp_path: Path
) -> None:
    restored(story.root, story.backups[0])
    backed_up(story.root, tmp_path / "before the start")
    restored(story.root, tmp_path / "before the start")
    started(story, pool)

    for backup in story.backups[1:]:
        with pytest.raises(BackupError, match=LEFT):
            restored(story.root, backup)


def test_old_copy_put_there_by_hand_is_not_served(story: Story, pool: SharedPool) -> None:
    restored(story.root, story.backups[0])
    started(story, pool)
    shutil.copy(story.backups[2] / "mien.db", story.root / DATA)

    assert refused(run_command(story.root, "serve", "--port", "0"), "Only `mien restore` brings a backup back")
    restored(story.root, story.backups[0])
    started(story, pool)


def test_sweep_leaves_the_history_too(story: Story) -> None:
    restored(story.root, story.backups[0])

    assert run_command(story.root, "sweep").returncode == 0
    with pytest.raises(BackupError, match=LEFT):
        restored(story.root, story.backups[1])


def test_keys_that_go_with_a_history_are_in_no_log_before_anybody_is_answered(story: Story) -> None:
    restored(story.root, story.backups[0])
    wrapped = {one[2] for one in slots(story.root)}
    vault = open_vault(settings_for(story.root))
    destroyed = destroy_discarded_keys(vault)
    files = contents(story.root).values()
    gone = wrapped - {one[2] for one in slots(story.root)}
    vault.data.close()
    vault.register.store.close()

    assert destroyed == len(gone) > 0
    assert [one for one in gone if any(one in content for content in files)] == []


def test_start_without_a_restore_destroys_nothing(story: Story, pool: SharedPool) -> None:
    keys = slots(story.root)
    started(story, pool)

    assert slots(story.root) == keys
    assert left_histories(story.root) == 0


# --- Killed on the way.

DIE = """
import os, sys
from pathlib import Path
from app.kit import crash_points
from app.jobs.maintenance import destroy_discarded_keys
from app.vault.open import open_vault
from tests.support.service_fixture import settings_for
from tests.vault.operator import restored
root, step = Path(sys.argv[1]), (sys.argv[2], sys.argv[3])
crash_points.watcher = lambda *passed: os._exit(77) if passed == step else None
if step[0] == "restore":
    restored(root, Path(sys.argv[4]))
else:
    destroy_discarded_keys(open_vault(settings_for(root)))
"""


def killed(story: Story, operation: str, step: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIE, story.root, operation, step, story.backups[0]],
        cwd=ROOT,
        env=dict(os.environ),
        check=False,
        timeout=300,
    )
    assert done.returncode == 77


@pytest.mark.parametrize(
    ("step", "placed"), [("stage purged", False), ("old log removed", False), ("data replaced", True)]
)
def test_restore_that_is_killed_leaves_a_history_or_does_not(
    story: Story, pool: SharedPool, step: str, *, placed: bool
) -> None:
    killed(story, "restore", step)
    with serving(story.root, pool, toy_card()) as service:
        answer = story.at(service, story.came)("GET", "/v1/me").status_code

    assert (answer, left_histories(story.root)) == ((401, 1) if placed else (200, 0))
    if placed:
        with pytest.raises(BackupError, match=LEFT):
            restored(story.root, story.backups[2])
    else:
        assert opened(story.root, story.backups[2]) == had(story.backups[2])
        restored(story.root, story.backups[2])


@pytest.fixture
def unwatched() -> Iterator[None]:
    yield
    crash_points.watcher = lambda _operation, _step: None


STEPS = ("register.db written", "register.db committed", "mien.db written", "mien.db committed")


@pytest.mark.parametrize("step", STEPS)
def test_start_that_is_killed_has_left_the_history_or_has_not(story: Story, pool: SharedPool, step: str) -> None:
    restored(story.root, story.backups[0])
    keys = len(slots(story.root))
    killed(story, "leaving a history", step)
    destroyed, left = len(slots(story.root)) < keys, left_histories(story.root)
    started(story, pool)

    assert (destroyed, left) == ((False, 0) if step == STEPS[0] else (True, 1))
    assert left_histories(story.root) == 1
    for backup in story.backups[1:]:
        lost = opened(story.root, backup) - had(story.backups[0]) - of_a_person_who_stayed(story, backup)
        assert lost == set()


@pytest.mark.usefixtures("unwatched")
def test_the_steps_of_leaving_a_history_have_these_names(story: Story, pool: SharedPool) -> None:
    restored(story.root, story.backups[0])
    seen: list[str] = []
    crash_points.watcher = lambda operation, step: seen.append(step) if operation == "leaving a history" else None
    started(story, pool)

    assert [one for one in seen if one in STEPS] == list(STEPS)
