"""Changes after a restored backup are discarded for good: no row is left by which they could end."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest

from app.jobs.maintenance import destroy_discarded_keys
from app.kit import crash_points
from app.parties import service as parties
from app.vault.backup_manifest import BackupError
from app.vault.open import open_vault
from tests.support.byte_scan import SEALED, live_keys, openable, rows, slots
from tests.support.launcher import refused, run_command, run_here
from tests.support.service_fixture import (
    Party,
    Person,
    RunningService,
    SharedPool,
    copied,
    enrol,
    serving,
    settings_for,
)
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.vault.killed_process import killed_at
from tests.vault.operator import DATA, contents, make_backup, restore

DISCARDED = "was discarded when"


@dataclass
class Story:
    """A stopped service, its three backups, and its subjects."""

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
        """Return one of these subjects as a caller of *service*."""
        return Person(service.client, person.subject_id, person.token, person.recovery_code)


@pytest.fixture(scope="module")
def original(prepared: Path, toy_pool: SharedPool, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A stopped service with three backups, and changes between them."""
    directory = tmp_path_factory.mktemp("story")
    root, backups = copied(prepared, directory / "service"), [directory / f"backup {number}" for number in range(3)]
    toy_pool.reset()
    with serving(root, toy_pool, toy_card()) as service:
        stayed, party, consent = service.enrolled(face=1)
        consented = service.person("Bea")
        waiting = service.consent(consented, party)["consent_id"]
        make_backup(root, backups[0])
        came, _, _ = service.enrolled(face=2, party=party)
        assert enrol(consented, [waiting], [toy_photo(3)]).status_code == 201
        make_backup(root, backups[1])
        assert enrol(stayed, [consent["consent_id"]], [toy_photo(2)]).status_code == 201
        service.consent(stayed, service.party("Gate"))
        stayed("POST", "/v1/me/tokens", json={"label": "more"}).raise_for_status()
        parties.rotate_key(service.vault, party_id=UUID(party.id), settings=service.settings, now=service.clock())
        make_backup(root, backups[2])
    return Story(root, backups, stayed, consented, waiting, came, party)


@pytest.fixture
def story(original: Story, tmp_path: Path) -> Story:
    """A copy of the service and its backups."""
    root = copied(original.root.parent, tmp_path / "story") / "service"
    return replace(original, root=root, backups=[root.with_name(backup.name) for backup in original.backups])


def opened(root: Path, backup: Path) -> set[tuple[str, UUID]]:
    """Return the sealed values of a backup that open with the present keys."""
    return set(openable(backup / "mien.db", live_keys(root, backup / "mien.db")))


def had(backup: Path) -> set[tuple[str, UUID]]:
    """Return every sealed value that a backup has."""
    return {
        (table, UUID(row[0]))
        for table, column in SEALED.items()
        for row in rows(backup / "mien.db", f"SELECT id FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608 - names of our own
    }


def values_of_a_remaining_subject(story: Story, backup: Path) -> set[tuple[str, UUID]]:
    """Return the values that are sealed under the key of a subject in the first backup."""
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


def test_discarded_values_open_nowhere_after_the_next_start(story: Story, pool: SharedPool) -> None:
    first, *later = story.backups
    restore(story.root, first)
    before = [opened(story.root, one) - had(first) - values_of_a_remaining_subject(story, one) for one in later]
    wrapped = {one[2] for one in slots(story.root)}
    started(story, pool)
    after = [opened(story.root, one) - had(first) - values_of_a_remaining_subject(story, one) for one in later]
    gone = wrapped - {one[2] for one in slots(story.root)}
    files = contents(story.root).values()

    assert all(("subjects", UUID(story.came.subject_id)) in one for one in before)
    tables = {"subjects", "templates", "consent_events", "receipts", "entries"}
    assert [{table for table, _ in one} for one in before] == [tables] * 2
    assert after == [set(), set()]
    assert len(gone) >= 4
    assert [one for one in gone if any(one in content for content in files)] == [], "in no file and no log"


def test_restored_data_works_as_before(story: Story, pool: SharedPool) -> None:
    restore(story.root, story.backups[1])
    with serving(story.root, pool, toy_card()) as service:
        answers = [story.at(service, one)("GET", "/v1/me/access").status_code for one in (story.stayed, story.came)]
        mine = openable(story.root / DATA, live_keys(story.root))
        again = enrol(story.at(service, story.consented), [story.consent_id], [toy_photo(3)])
        erased = story.at(service, story.came)("DELETE", "/v1/me").json()["status"]

    # A template that was replaced since stays dead.
    assert answers == [200, 200]
    new = [json.loads(plain)["record"]["act"] for one, plain in mine.items() if one not in had(story.backups[1])]
    assert new == ["enrolment_deleted"], "that it is gone is told"
    assert len([one for one in mine if one[0] == "templates"]) == 2
    assert (again.status_code, erased) == (201, "completed")


def test_consent_without_an_enrolment_is_in_force_with_a_key_of_its_own(story: Story, pool: SharedPool) -> None:
    restore(story.root, story.backups[0])
    with serving(story.root, pool, toy_card()) as service:
        keys = service.living_keys(story.consent_id)
        enrolled = enrol(story.at(service, story.consented), [story.consent_id], [toy_photo(3)])
    started(story, pool)

    assert keys == {story.consent_id: {3}}, "1 was of the consent, 2 of the enrolment that is lost"
    assert enrolled.status_code == 201
    assert len(rows(story.root / DATA, "SELECT id FROM templates")) == 1, "the other was replaced after the backup"


def test_another_backup_can_be_restored_until_the_service_starts(story: Story, pool: SharedPool) -> None:
    newest = story.backups[2]
    for number in (0, 1, 0, 2):
        restore(story.root, story.backups[number])
    with serving(story.root, pool, toy_card()) as service:
        known = [story.at(service, one)("GET", "/v1/me").status_code for one in (story.stayed, story.came)]

    assert known == [200, 200]
    assert opened(story.root, newest) == had(newest)
    assert left_histories(story.root) == 1


def test_discarded_backup_is_refused_and_the_data_is_unchanged(story: Story, pool: SharedPool) -> None:
    restore(story.root, story.backups[1])
    started(story, pool)
    before = contents(story.root)

    assert refused(run_here(story.root, "restore", story.backups[2]), DISCARDED)
    assert contents(story.root) == before


def test_older_backups_and_backups_of_the_new_timeline_are_restored(
    story: Story, pool: SharedPool, tmp_path: Path
) -> None:
    restore(story.root, story.backups[1])
    early = tmp_path / "before the start"
    make_backup(story.root, early)
    with serving(story.root, pool, toy_card()) as service:
        service.enrolled(face=3, party=service.party("Lift"))
        make_backup(story.root, tmp_path / "since")
    for backup in (early, story.backups[1], story.backups[0]):
        restore(story.root, backup)
    for backup in (tmp_path / "since", story.backups[1], story.backups[0]):
        restore(story.root, backup)
        started(story, pool)

    for backup in (tmp_path / "since", early, story.backups[1], story.backups[2]):
        with pytest.raises(BackupError, match=DISCARDED):
            restore(story.root, backup)
    with serving(story.root, pool, toy_card()) as service:
        service.enrolled(face=3, party=service.party("Lift"))
        make_backup(story.root, tmp_path / "of now")
    restore(story.root, tmp_path / "of now")
    assert left_histories(story.root) == 4, "one for each start"


def test_discarded_timeline_stays_discarded_after_a_backup_without_a_start_in_between(
    story: Story, pool: SharedPool, tmp_path: Path
) -> None:
    restore(story.root, story.backups[0])
    make_backup(story.root, tmp_path / "before the start")
    restore(story.root, tmp_path / "before the start")
    started(story, pool)

    for backup in story.backups[1:]:
        with pytest.raises(BackupError, match=DISCARDED):
            restore(story.root, backup)


def test_old_copy_of_the_data_is_not_served(story: Story, pool: SharedPool) -> None:
    restore(story.root, story.backups[0])
    started(story, pool)
    shutil.copy(story.backups[2] / "mien.db", story.root / DATA)

    assert refused(run_command(story.root, "serve", "--port", "0"), "Only `mien restore` brings a backup back")
    restore(story.root, story.backups[0])
    started(story, pool)


def test_maintenance_run_discards_the_timeline_too(story: Story) -> None:
    restore(story.root, story.backups[0])

    assert run_here(story.root, "sweep").exit_code == 0
    with pytest.raises(BackupError, match=DISCARDED):
        restore(story.root, story.backups[1])


def test_discarded_keys_are_in_no_file_before_the_first_answer(story: Story) -> None:
    restore(story.root, story.backups[0])
    wrapped = {one[2] for one in slots(story.root)}
    vault = open_vault(settings_for(story.root))
    destroyed = destroy_discarded_keys(vault)
    files = contents(story.root).values()
    gone = wrapped - {one[2] for one in slots(story.root)}
    vault.close()

    assert destroyed == len(gone) > 0
    assert [one for one in gone if any(one in content for content in files)] == []


def test_start_without_a_restore_destroys_nothing(story: Story, pool: SharedPool) -> None:
    keys = slots(story.root)
    started(story, pool)

    assert slots(story.root) == keys
    assert left_histories(story.root) == 0


# --- Killed on the way.


@pytest.mark.parametrize(
    ("step", "placed"),
    [("dead rows of the stage deleted", False), ("old write-ahead log removed", False), ("data replaced", True)],
)
def test_killed_restore_is_done_or_not_done(story: Story, pool: SharedPool, step: str, *, placed: bool) -> None:
    killed_at(("restore", step), lambda: restore(story.root, story.backups[0]))
    with serving(story.root, pool, toy_card()) as service:
        answer = story.at(service, story.came)("GET", "/v1/me").status_code

    assert (answer, left_histories(story.root)) == ((401, 1) if placed else (200, 0))
    if placed:
        with pytest.raises(BackupError, match=DISCARDED):
            restore(story.root, story.backups[2])
    else:
        assert opened(story.root, story.backups[2]) == had(story.backups[2])
        restore(story.root, story.backups[2])


@pytest.fixture
def unwatched() -> Iterator[None]:
    yield
    crash_points.watcher = lambda _operation, _step: None


STEPS = ("register.db written", "register.db committed", "mien.db written", "mien.db committed")


@pytest.mark.parametrize("step", STEPS)
def test_killed_start_has_discarded_the_timeline_or_not(story: Story, pool: SharedPool, step: str) -> None:
    restore(story.root, story.backups[0])
    keys = len(slots(story.root))
    killed_at(("destroying discarded keys", step), lambda: destroy_discarded_keys(open_vault(settings_for(story.root))))
    destroyed, left = len(slots(story.root)) < keys, left_histories(story.root)
    started(story, pool)

    assert (destroyed, left) == ((False, 0) if step == STEPS[0] else (True, 1))
    assert left_histories(story.root) == 1
    for backup in story.backups[1:]:
        lost = opened(story.root, backup) - had(story.backups[0]) - values_of_a_remaining_subject(story, backup)
        assert lost == set()


@pytest.mark.usefixtures("unwatched")
def test_steps_of_discarding_a_timeline_have_these_names(story: Story, pool: SharedPool) -> None:
    restore(story.root, story.backups[0])
    seen: list[str] = []
    crash_points.watcher = lambda operation, step: (
        seen.append(step) if operation == "destroying discarded keys" else None
    )
    started(story, pool)

    assert [one for one in seen if one in STEPS] == list(STEPS)
