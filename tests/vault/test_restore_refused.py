"""Backups that `mien restore` refuses, with the reason; a refusal leaves the data unchanged."""

import hashlib
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.kit.files import MARKER
from app.vault import backup_manifest
from app.vault.backup_manifest import BackupError
from app.vault.directory_lock import InUseError, alone, in_use
from app.vault.seal import KekError
from app.vault.vault import ForeignRegisterError
from tests.support.byte_scan import rows
from tests.support.launcher import refused, run_command, run_here, run_program
from tests.support.service_fixture import prepare
from tests.test_upgrading import create_databases
from tests.vault.operator import DATA, contents, make_backup, restore


def flip_a_bit(backup: Path) -> None:
    content = bytearray((backup / "mien.db").read_bytes())
    content[len(content) // 2] ^= 1
    (backup / "mien.db").write_bytes(content)


def cut_off(backup: Path) -> None:
    os.truncate(backup / "mien.db", 4096)


def lengthen(backup: Path) -> None:
    with (backup / "mien.db").open("ab") as file:
        file.write(b"\0")


def lose_the_database(backup: Path) -> None:
    (backup / "mien.db").unlink()


def lose_the_manifest(backup: Path) -> None:
    (backup / "manifest.json").unlink()


def cut_off_the_manifest(backup: Path) -> None:
    os.truncate(backup / "manifest.json", 100)


def fill_the_manifest(backup: Path) -> None:
    (backup / "manifest.json").write_bytes(b"[" * 200_000)


def edit(**changed: object) -> Callable[[Path], None]:
    """Change fields of the manifest, but not its digest."""

    def change(backup: Path) -> None:
        said = json.loads((backup / "manifest.json").read_text())
        (backup / "manifest.json").write_text(json.dumps(said | changed))

    change.__name__ = f"edit {', '.join(changed)}"
    return change


def rewrite(**changed: Any) -> Callable[[Path], None]:
    """Change fields of the manifest, and its digest."""

    def change(backup: Path) -> None:
        fields = {**vars_of(backup_manifest.read(backup)), **changed}
        (backup / "manifest.json").write_text(backup_manifest.Manifest(**fields).with_digest().to_json())

    change.__name__ = f"rewrite {', '.join(changed)}"
    return change


def vars_of(said: backup_manifest.Manifest) -> dict[str, Any]:
    return {name: getattr(said, name) for name in said.__slots__ if not name.startswith("__")}


def damage_inside(backup: Path) -> None:
    """Damage the database, and let the digests match."""
    with closing(sqlite3.connect(backup / "mien.db")) as connection:
        connection.execute("DELETE FROM subjects")
        connection.commit()
    rewrite(**digest_of(backup))(backup)


def digest_of(backup: Path) -> dict[str, Any]:
    content = (backup / "mien.db").read_bytes()
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


WRONG: list[tuple[Callable[[Path], None], str]] = [
    (flip_a_bit, "damaged"),
    (cut_off, "damaged"),
    (lengthen, "damaged"),
    (lose_the_database, "damaged"),
    (damage_inside, "not authentic"),
    (lose_the_manifest, "is not a backup"),
    (cut_off_the_manifest, "damaged"),
    (fill_the_manifest, "damaged"),
    (edit(made_at="2026-01-01T00:00:00Z"), "damaged"),
    (edit(schema="0001"), "damaged"),
    (edit(file="../mien.db"), "damaged"),
    (edit(more=1), "damaged"),
    (rewrite(schema="0001"), "not authentic"),
    (edit(format=3), "newer version"),
    (rewrite(schema="9999"), "newer version"),
    (rewrite(made_at=datetime(2026, 1, 1, tzinfo=UTC)), "not authentic"),
    (rewrite(mac=""), "not authentic"),
    (rewrite(mac="0" * 64), "not authentic"),
    (rewrite(mac="mac"), "damaged"),
    (rewrite(format=1), "has no authentication code"),
]


@pytest.mark.parametrize(("spoil", "reason"), WRONG, ids=lambda value: getattr(value, "__name__", None))
def test_wrong_backup_is_refused_and_the_data_is_unchanged(
    lived_in: Path, backup: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(backup)
    before = contents(lived_in)

    with pytest.raises(BackupError, match=reason):
        restore(lived_in, backup)

    assert contents(lived_in) == before


def test_refusal_is_one_line_and_exit_code_1(lived_in: Path, backup: Path) -> None:
    flip_a_bit(backup)
    before = contents(lived_in)

    assert refused(run_command(lived_in, "restore", backup), "the backup is damaged")
    assert contents(lived_in) == before


def test_backup_of_another_register_is_refused(lived_in: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "other")
    make_backup(tmp_path / "other", tmp_path / "foreign")
    before = contents(lived_in)

    with pytest.raises(BackupError, match="another register"):
        restore(lived_in, tmp_path / "foreign")
    assert contents(lived_in) == before


def test_without_its_register_a_backup_is_refused_and_no_register_is_made(
    lived_in: Path, backup: Path, tmp_path: Path
) -> None:
    kek, empty = (lived_in / "keys" / "kek").read_bytes(), tmp_path / "lost"
    (empty / "keys").mkdir(parents=True)

    with pytest.raises(BackupError, match="no key-encryption key"):
        restore(empty, backup)
    (empty / "keys" / "kek").write_bytes(kek)
    (empty / "keys" / "kek").chmod(0o600)
    with pytest.raises(BackupError, match="no register"):
        restore(empty, backup)

    assert [path.name for path in (empty / "keys").iterdir()] == ["kek"]
    assert not (empty / DATA).exists()


def test_another_key_encryption_key_is_refused(lived_in: Path, backup: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "keys" / "kek", lived_in / "keys" / "kek")
    before = contents(lived_in)

    with pytest.raises(KekError):
        restore(lived_in, backup)
    assert contents(lived_in) == before


def test_data_of_another_register_is_not_replaced(lived_in: Path, backup: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "other")
    shutil.rmtree(lived_in / "data")
    shutil.copytree(tmp_path / "other" / "data", lived_in / "data")
    before = rows(lived_in / DATA, "SELECT * FROM bound_to")

    with pytest.raises(ForeignRegisterError):
        restore(lived_in, backup)
    assert rows(lived_in / DATA, "SELECT * FROM bound_to") == before


def test_damaged_data_is_replaced_and_reported(lived_in: Path, backup: Path) -> None:
    (lived_in / DATA).write_bytes(b"no database" * 1000)
    (lived_in / "data" / "mien.db-wal").write_bytes(b"no log" * 1000)

    assert not restore(lived_in, backup).replaced_data_was_read
    assert rows(lived_in / DATA, "PRAGMA integrity_check") == [("ok",)]


def test_restore_does_not_wait_for_a_running_process(lived_in: Path, backup: Path) -> None:
    with in_use(lived_in / "data"), pytest.raises(InUseError, match="stop that first"):
        restore(lived_in, backup)
    with alone(lived_in / "data"):
        assert refused(run_here(lived_in, "sweep"), "being restored")
        assert refused(run_command(lived_in, "serve", "--port", "0"), "being restored")
        assert refused(run_here(lived_in, "backup", backup.with_name("new")), "being restored")
    restore(lived_in, backup)


def test_data_that_another_program_reads_is_not_replaced(
    lived_in: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.db.sqlite.files.BUSY_S", 0.1)
    before = rows(lived_in / DATA, "SELECT id FROM subjects")
    with closing(sqlite3.connect(lived_in / DATA)) as shell:
        shell.execute("SELECT count(*) FROM subjects").fetchone()

        with pytest.raises(sqlite3.OperationalError, match="locked"):
            restore(lived_in, backup)
    assert rows(lived_in / DATA, "SELECT id FROM subjects") == before


# --- Killed on the way: tests/crash.


def test_next_command_removes_the_stage_of_a_killed_restore(lived_in: Path) -> None:
    left = lived_in / "data" / "restoring"
    left.mkdir()
    (left / MARKER).touch()
    (left / "mien.db").write_bytes(b"half")

    assert run_here(lived_in, "sweep").exit_code == 0
    assert not left.exists()


# --- Dead rows are deleted before the first answer.


def test_no_request_is_answered_before_dead_rows_are_deleted(lived_in: Path, backup: Path) -> None:
    shutil.copy(backup / "mien.db", lived_in / DATA)
    dead = rows(lived_in / DATA, "SELECT id FROM subjects")
    answered: list[tuple[int, int]] = []

    def ask(address: str) -> None:
        with httpx.Client(base_url=address, timeout=300, trust_env=False) as client:
            status = client.get("/livez").status_code
            answered.append((status, len(rows(lived_in / DATA, "SELECT id FROM subjects"))))

    with closing(sqlite3.connect(lived_in / DATA, isolation_level=None)) as writer:
        # The write lock keeps the service from deleting dead rows.
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("BEGIN IMMEDIATE")
        with run_program(lived_in, wait=False, MIEN_ENGINE_WORKERS="1", MIEN_SQLITE_BUSY_S="60") as running:
            asking = threading.Thread(target=ask, args=[str(running.client.base_url)])
            asking.start()
            asking.join(1)
            before = list(answered)
            writer.execute("ROLLBACK")
            asking.join()

    assert len(dead) == 1
    assert (before, answered) == ([], [(200, 0)])


@pytest.mark.service
def test_older_backup_is_migrated(tmp_path: Path) -> None:
    root = tmp_path / "old"
    create_databases("0.1.0", root)
    made = make_backup(root, tmp_path / "backup")
    people = rows(root / DATA, "SELECT id FROM subjects")
    (root / DATA).unlink()

    with pytest.raises(BackupError, match="has no authentication code"):
        restore(root, tmp_path / "backup")
    restore(root, tmp_path / "backup", unauthenticated=True)

    assert (made.schema, made.format) == ("0001", 1)
    assert rows(root / DATA, "SELECT id FROM subjects") == people
    assert rows(root / DATA, "SELECT version_num FROM alembic_version") != [("0001",)]
    assert run_here(root, "sweep").exit_code == 0
