"""Attacks by symbolic links, devices, endless files, and directories that another program made."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.kit.files import UnsafeFileError, open_regular, replace_file
from app.transparency.witness.notes import open_notes
from tests.support.launcher import refused, run_command, run_here
from tests.vault.operator import contents


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory of another program."""
    directory = tmp_path / "victim"
    directory.mkdir()
    (directory / "letter").write_bytes(b"dear")
    (directory / "empty").touch()
    return directory


def link(path: Path, to: Path) -> None:
    path.symlink_to(to)


def copy_of(path: Path, to: Path) -> None:
    shutil.copytree(to, path)


@pytest.mark.parametrize("plant", [link, copy_of])
def test_backup_clears_no_directory_that_it_did_not_make(
    root: Path, tmp_path: Path, victim: Path, plant: Callable[[Path, Path], None]
) -> None:
    planted = tmp_path / ".backup.unfinished"
    plant(planted, victim)
    before = contents(victim, planted)
    answer = run_command(root, "backup", tmp_path / "backup")

    assert refused(answer, f"{planted} is in the way, and Mien did not make it: move it elsewhere")
    assert contents(victim, planted) == before
    assert not (tmp_path / "backup").exists()


def test_directory_that_takes_the_place_of_a_backup_is_not_named_so(
    root: Path, tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program replaces the unfinished directory just before it gets its name."""
    planted = tmp_path / ".backup.unfinished"

    def swap(_operation: str, step: str) -> None:
        if step == "manifest written":
            planted.rename(tmp_path / "moved")
            link(planted, victim)

    monkeypatch.setattr("app.kit.crash_points.watcher", swap)
    before = contents(victim)

    assert refused(run_here(root, "backup", tmp_path / "backup"), "another program changed")
    assert contents(victim) == before
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("plant", [link, copy_of])
def test_restore_clears_no_directory_that_it_did_not_make(
    lived_in: Path, backup: Path, victim: Path, plant: Callable[[Path, Path], None]
) -> None:
    planted = lived_in / "data" / "restoring"
    plant(planted, victim)
    before = contents(victim, planted)

    assert refused(run_here(lived_in, "restore", backup), f"{planted} is in the way")
    assert run_here(lived_in, "sweep").exit_code == 0
    assert contents(victim, planted) == before


FILES = ("data/mien.db", "data/mien.db-wal", "data/mien.db-journal", "keys/register.db", "keys/register.db-wal")


@pytest.mark.parametrize("name", FILES)
def test_store_behind_a_link_is_refused(root: Path, victim: Path, name: str) -> None:
    if (root / name).exists():
        (root / name).rename(victim / "copy")
    # The link of a write-ahead log leads nowhere: SQLite would make the file.
    link(root / name, victim / "copy")
    before = contents(victim)

    assert refused(run_here(root, "sweep"), f"{root / name} is a symbolic link")
    assert contents(victim) == before


@pytest.mark.parametrize("name", ["lock", "last-backup"])
def test_link_in_the_data_directory_is_not_followed(root: Path, tmp_path: Path, victim: Path, name: str) -> None:
    (root / "data" / name).unlink(missing_ok=True)
    link(root / "data" / name, victim / "made")
    answer = run_here(root, "backup", tmp_path / "backup")

    assert refused(answer, f"{root / 'data' / name} is a symbolic link")
    assert not (victim / "made").exists()


@pytest.mark.parametrize("name", ["kek.old", "kek.next"])
def test_rotation_overwrites_no_file_behind_a_link(root: Path, victim: Path, name: str) -> None:
    link(root / "keys" / name, victim / "empty")
    (victim / "empty").write_bytes(bytes(100))
    (victim / "empty").chmod(0o600)
    before = contents(victim)

    assert refused(run_here(root, "keys", "rotate"), f"{root / 'keys' / name} is a symbolic link")
    assert contents(victim) == before


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def large(path: Path) -> None:
    path.touch()
    os.truncate(path, 10 * 1024**3)


@pytest.mark.parametrize("make", [pipe, endless, large])
def test_command_reads_no_endless_file(root: Path, tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Each with a limit, and only regular files: nothing waits, and no memory is filled."""
    file = tmp_path / "file"
    make(file)
    reason = "has more than 1048576 bytes" if make is large else "is no regular file: name a regular one"
    notice = run_here(root, "notice", "publish", file)
    receipt = run_here(root, "verify-receipt", file, "--jwks", file)

    assert refused(notice, f"{file} {reason}")
    assert receipt.exit_code == 1
    assert len(receipt.stderr.splitlines()) == 1


@pytest.mark.parametrize("make", [pipe, endless, large])
@pytest.mark.parametrize("name", ["mien.db", "manifest.json"])
def test_restore_reads_no_endless_file(lived_in: Path, backup: Path, name: str, make: Callable[[Path], None]) -> None:
    (backup / name).unlink()
    make(backup / name)
    before = contents(lived_in)
    answer = run_here(lived_in, "restore", backup)

    assert answer.exit_code == 1
    assert len(answer.stderr.splitlines()) == 1
    assert contents(lived_in) == before


def test_witness_writes_through_no_link(tmp_path: Path, victim: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    link(notes / "lock", victim / "made")

    with pytest.raises(UnsafeFileError, match="symbolic link"), open_notes(notes):
        pass
    assert not (victim / "made").exists()


def test_replaced_file_is_written_through_no_link(tmp_path: Path, victim: Path) -> None:
    before = contents(victim)
    for name in ("report", ".report.new"):
        link(tmp_path / name, victim / "letter")
    replace_file(tmp_path / "report", b"mine")

    assert contents(victim) == before
    assert (tmp_path / "report").read_bytes() == b"mine"
    assert not (tmp_path / "report").is_symlink()


def test_file_that_the_operator_names_may_be_a_link(tmp_path: Path, victim: Path) -> None:
    link(tmp_path / "named", victim / "letter")
    with open_regular(tmp_path / "named", follow=True) as file:
        content = file.read()

    assert content == b"dear"
    with pytest.raises(UnsafeFileError, match="symbolic link"):
        open_regular(tmp_path / "named")


def test_directory_in_place_of_a_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError, match=f"{tmp_path} is a directory: name a file"):
        open_regular(tmp_path)
