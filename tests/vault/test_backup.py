"""A backup is complete, of one moment, of the data only, and made while the service runs."""

import base64
import hashlib
import json
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from app.kit import crash_points
from app.kit.files import MARKER
from app.settings import DEMONSTRATION
from app.vault.backup_manifest import BackupError
from tests.support.byte_scan import Needles, files_under, live_keys, openable, rows, slots
from tests.support.launcher import refused, run_command, run_here, run_program
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.support.waiting import wait_until
from tests.vault.operator import DATA, contents, make_backup


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_backup_is_one_database_and_a_manifest_for_their_owner_only(lived_in: Path, tmp_path: Path) -> None:
    to = tmp_path / "backups" / "first"
    done = run_command(lived_in, "backup", to, "--json")
    said = json.loads((to / "manifest.json").read_text())
    told = json.loads(done.stdout)
    file = to / "mien.db"

    assert done.returncode == 0, done.stderr
    assert done.stderr == f"mien: prototype, {DEMONSTRATION}\n", "no progress without a terminal"
    assert sorted(path.name for path in to.iterdir()) == ["manifest.json", "mien.db"]
    assert [mode(path) for path in (to.parent, to, file, to / "manifest.json")] == [0o700, 0o700, 0o600, 0o600]
    assert (said["size"], said["sha256"]) == (file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest())
    assert rows(file, "SELECT version_num FROM alembic_version") == [(said["schema"],)]
    assert rows(lived_in / "keys" / "register.db", "SELECT id FROM origin") == [(UUID(said["origin_id"]).hex,)]
    assert told == {"backup": str(to)} | {
        name: told[name] for name in ("made_at", "mien_version", "schema", "size", "sha256")
    }
    assert (told["sha256"], told["size"]) == (said["sha256"], said["size"])
    assert rows(file, "PRAGMA journal_mode") == [("delete",)], "one file, no side files"
    assert [path.name for path in to.parent.iterdir()] == ["first"]


def test_backup_holds_the_data_and_no_key(lived_in: Path, tmp_path: Path) -> None:
    make_backup(lived_in, tmp_path / "backup")
    kek = (lived_in / "keys" / "kek").read_bytes().strip()
    needles = Needles().raw("key-encryption key", kek, base64.b64decode(kek))
    for digest, generation, wrapped in slots(lived_in):
        needles.raw(f"key {digest.hex()[:8]} {generation}", wrapped).raw("owner", digest)

    copied, original = tmp_path / "backup" / "mien.db", lived_in / DATA
    held = {table: rows(copied, f"SELECT * FROM {table}") for (table,) in tables(copied)}  # noqa: S608 - from the schema

    assert held == {table: rows(original, f"SELECT * FROM {table}") for (table,) in tables(original)}  # noqa: S608 - as above
    assert len(held["templates"]) == 1
    assert needles.found(files_under(tmp_path / "backup")) == []
    assert {found.split(" in ")[0] for found in needles.found(files_under(lived_in / "keys"))} == set(needles.spellings)


def test_without_its_register_no_backup_is_made(lived_in: Path, tmp_path: Path) -> None:
    """Only the register authenticates the manifest."""
    shutil.rmtree(lived_in / "keys")

    assert refused(run_here(lived_in, "backup", tmp_path / "backup"), "there is no register")
    assert not (tmp_path / "backup").exists()
    assert not (lived_in / "keys").exists()


def tables(database: Path) -> list[tuple[str]]:
    return rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'")


def registered(root: Path) -> int:
    """Return how many subjects the running service has."""
    count: int = rows(root / DATA, "SELECT count(*) FROM subjects")[0][0]
    return count


def went_on(root: Path, before: int, faults: list[str]) -> bool:
    """Return whether more than *before* subjects are registered, or a writer failed."""
    return bool(faults) or registered(root) > before


def keep_going(service: RunningService, stop: threading.Event, faults: list[str]) -> None:
    """Let subjects register, consent, enrol and erase, until *stop* is set."""
    party = service.party(f"Door {threading.get_ident()}")
    while not stop.is_set():
        try:
            person, _, consent = service.enrolled(party=party)
            person("DELETE", f"/v1/me/consents/{consent['consent_id']}").raise_for_status()
            person("DELETE", "/v1/me").raise_for_status()
            service.enrolled(party=party)
        except Exception as error:  # noqa: BLE001 - passed to the thread of the test
            faults.append(repr(error))
            return


def test_backup_beside_writers_is_of_one_moment(root: Path, pool: SharedPool, tmp_path: Path) -> None:
    stop, faults = threading.Event(), list[str]()
    with serving(root, pool, toy_card()) as service:
        writers = [threading.Thread(target=keep_going, args=(service, stop, faults)) for _ in range(2)]
        for writer in writers:
            writer.start()
        try:
            backups = [tmp_path / f"backup {number}" for number in range(6)]
            for to in backups:
                before = registered(root)
                make_backup(root, to)
                wait_until(partial(went_on, root, before, faults))
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        people = [rows(to / "mien.db", "SELECT count(*) FROM subjects")[0][0] for to in backups]

    assert faults == []
    assert people[-1] > people[0], "subjects registered meanwhile"
    for to in backups:
        file = to / "mien.db"
        incomplete = rows(
            file, "SELECT id FROM subjects WHERE (SELECT count(*) FROM tokens WHERE subject_id = subjects.id) != 2"
        )
        without_event = rows(
            file,
            "SELECT id FROM grants WHERE NOT EXISTS"
            " (SELECT 1 FROM consent_events WHERE subject_id = grants.subject_id)",
        )
        assert (rows(file, "PRAGMA integrity_check"), rows(file, "PRAGMA foreign_key_check")) == ([("ok",)], [])
        assert (incomplete, without_event) == ([], [])


def test_backup_has_no_unused_space_with_deleted_bytes(root: Path, pool: SharedPool, tmp_path: Path) -> None:
    with serving(root, pool, toy_card(), rebuild_at_once_mib=0) as service:
        party = service.party()
        needles = Needles()
        people = [service.enrolled(face=face % 4, party=party) for face in range(12)]
        for number, (person, _, consent) in enumerate(people):
            needles.id(f"person {number}", person.subject_id).id(f"consent {number}", consent["consent_id"])
        make_backup(root, tmp_path / "before")
        for person, _, _ in people:
            assert person("DELETE", "/v1/me").json()["status"] == "completed"
        leave_in_unused_space(root / DATA)
        make_backup(root, tmp_path / "after")
        opened = openable(tmp_path / "after" / "mien.db", live_keys(root, tmp_path / "before" / "mien.db"))

    assert len(needles.found(files_under(tmp_path / "before"))) == 24
    assert needles.found(files_under(tmp_path / "after")) == []
    assert opened == {}
    assert LEFT in (root / DATA).read_bytes()
    assert LEFT not in (tmp_path / "after" / "mien.db").read_bytes()


LEFT = b"left in unused space"


def leave_in_unused_space(database: Path) -> None:
    """Delete without overwriting, as SQLite does when it moves rows between pages."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("PRAGMA secure_delete=OFF; CREATE TABLE scrap (x BLOB)")
        connection.executemany("INSERT INTO scrap VALUES (?)", [(LEFT * 20,)] * 200)
        connection.commit()
        connection.executescript("DROP TABLE scrap; PRAGMA wal_checkpoint(TRUNCATE)")


def test_backup_needs_a_new_or_empty_directory(lived_in: Path, tmp_path: Path) -> None:
    full, file, link = tmp_path / "full", tmp_path / "file", tmp_path / "link"
    full.mkdir()
    (full / "something").touch()
    file.touch()
    link.symlink_to(lived_in / "data")
    before = contents(lived_in, full)
    reasons = {
        full: "not empty",
        file: "not empty",
        lived_in / "data": "is inside",
        lived_in / "data" / "backup": "is inside",
        link / "backup": "is inside",
        lived_in / "keys" / "backup": "is inside",
    }

    for to, reason in reasons.items():
        assert refused(run_here(lived_in, "backup", to), reason), to

    assert contents(lived_in, full) == before
    empty = tmp_path / "empty"
    empty.mkdir()
    assert make_backup(lived_in, empty).size > 0


@pytest.mark.service
def test_without_data_there_is_no_backup(tmp_path: Path) -> None:
    done = run_here(tmp_path / "new", "backup", tmp_path / "backup")

    assert refused(done, "there is no data")
    assert not (tmp_path / "backup").exists()
    assert not (tmp_path / "new" / "keys").exists()


def test_damaged_data_is_not_backed_up(lived_in: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(lived_in / DATA)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("DELETE FROM subjects")
        connection.commit()

    with pytest.raises(BackupError, match="damaged"):
        make_backup(lived_in, tmp_path / "backup")
    assert list(tmp_path.glob("*backup*")) == []


@pytest.fixture
def watched() -> Iterator[list[tuple[str, str]]]:
    """Note every step."""
    seen: list[tuple[str, str]] = []
    crash_points.watcher = lambda operation, step: seen.append((operation, step))
    yield seen
    crash_points.watcher = lambda _operation, _step: None


def test_failure_at_any_step_leaves_no_incomplete_backup(
    lived_in: Path, tmp_path: Path, watched: list[tuple[str, str]]
) -> None:
    make_backup(lived_in, tmp_path / "whole")
    names = [step for operation, step in watched if operation == "backup"]

    def fail_at(failing: str) -> None:
        def watch(_operation: str, step: str) -> None:
            if step == failing:
                raise BackupError(step)

        crash_points.watcher = watch

    assert names[:3] == ["data copied", "copy rewritten", "manifest written"]
    assert names[3:] == ["backup in place", "time of the backup recorded"]
    for number, name in enumerate(names):
        fail_at(name)
        with pytest.raises(BackupError):
            make_backup(lived_in, tmp_path / f"backup {number}")
    assert [path.name for path in sorted(tmp_path.glob("*backup*"))] == ["backup 3", "backup 4"]


def test_next_backup_removes_the_files_of_a_killed_one(lived_in: Path, tmp_path: Path) -> None:
    left = tmp_path / ".backup.unfinished"
    left.mkdir()
    (left / MARKER).touch()
    (left / "copied.db").write_bytes(b"half")
    make_backup(lived_in, tmp_path / "backup")

    assert not left.exists()
    assert (tmp_path / "backup" / "manifest.json").exists()


def test_running_service_is_backed_up_and_not_restored(lived_in: Path, tmp_path: Path) -> None:
    with run_program(lived_in, MIEN_ENGINE_WORKERS="1") as running:
        made = run_command(lived_in, "backup", tmp_path / "backup")
        data = rows(lived_in / DATA, "SELECT * FROM subjects")
        done = run_here(lived_in, "restore", tmp_path / "backup")
        ready = running.client.get("/readyz").status_code

    assert made.returncode == 0, made.stderr
    assert refused(done, "stop that first")
    assert ready == 200
    assert rows(lived_in / DATA, "SELECT * FROM subjects") == data
    assert run_here(lived_in, "restore", tmp_path / "backup").exit_code == 0
