"""Put a backup in the place of the data store: prepared beside it, and only then exchanged in one step.

1. The backup is copied to a *stage*, and refused there if it is damaged, foreign or newer: the data is as it was.
2. Whoever calls brings the stage to this version and removes from it what has ended: see `app.backup.restore`.
3. The stage is written anew, the old database brought into its one file, and the new one renamed over it.

A log of the old database beside the new file would be applied to it. So the log goes first, and is gone on the disk
too before the name is exchanged: a crash leaves the old data or the new, and nothing beside it.
"""

import hashlib
import shutil
import sqlite3
from pathlib import Path
from uuid import UUID

from app.db.migrate import knows
from app.db.sqlite import files
from app.kit.crash_points import step
from app.kit.progress import Tell
from app.vault import backup_manifest
from app.vault.backup_manifest import BackupError, Manifest
from app.vault.directory_lock import STAGE
from app.vault.open import DATA_FILE, REGISTER_FILE

AT_ONCE = 1024 * 1024
UNREADABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def stage(backup: Path, *, data_dir: Path, register_dir: Path, tell: Tell) -> Manifest:
    """Copy a backup beside the data, and check every byte of the copy. Remove it with `clear`, whatever happens.

    Raises:
        BackupError: it is damaged, belongs to another register, or is of a newer version.
    """
    said = backup_manifest.read(backup)
    _check_schema(said)
    _check_register(said, register_dir)
    clear(data_dir)
    directory = data_dir / STAGE
    directory.mkdir(mode=0o700)
    step("stage made")
    tell("copying")
    copied = directory / DATA_FILE
    if _copied(backup / said.file, copied) != (said.size, said.sha256):
        msg = f"the backup is damaged: {said.file} is not what its manifest says"
        raise BackupError(msg)
    step("backup copied")
    tell("checking")
    _check_contents(copied, said)
    return said


def _check_schema(said: Manifest) -> None:
    if not knows("mien", said.schema):
        msg = f"the backup was made by a newer version of Mien ({said.mien_version}); use that version"
        raise BackupError(msg)


def _check_register(said: Manifest, register_dir: Path) -> None:
    register = register_dir / REGISTER_FILE
    if not register.exists() or not register.stat().st_size:
        msg = (
            f"there is no register in {register_dir}: without its keys nothing in any backup opens, and every row "
            "would be taken for ended. Point MIEN_KEYS_DIR to the register of this backup"
        )
        raise BackupError(msg)
    try:
        origin_id = files.value(register, "SELECT id FROM origin")
    except sqlite3.OperationalError:
        origin_id = None
    if origin_id is None or UUID(str(origin_id)) != said.origin_id:
        msg = (
            f"the backup belongs to another register than the one in {register_dir}: with it every row would be taken "
            "for ended. Point MIEN_KEYS_DIR to the register of this backup"
        )
        raise BackupError(msg)


def _copied(source: Path, to: Path) -> tuple[int, str]:
    """Copy a file; return how long it was, and its SHA-256, as they were when it was read."""
    files.private(to)
    digest, length = hashlib.sha256(), 0
    try:
        with source.open("rb") as original, to.open("wb") as copy:
            while part := original.read(AT_ONCE):
                digest.update(part)
                length += copy.write(part)
    except FileNotFoundError:
        return 0, ""
    return length, digest.hexdigest()


def _check_contents(copied: Path, said: Manifest) -> None:
    try:
        found = files.faults(copied)
        itself = (
            str(files.value(copied, "SELECT version_num FROM alembic_version")),
            UUID(str(files.value(copied, "SELECT origin_id FROM bound_to"))),
        )
    except (sqlite3.DatabaseError, ValueError) as error:
        msg = f"the backup is damaged: {error}"
        raise BackupError(msg) from error
    if found:
        msg = f"the backup is damaged: {found[0]}"
        raise BackupError(msg)
    if itself != (said.schema, said.origin_id):
        msg = "the backup is damaged: its manifest belongs to another database"
        raise BackupError(msg)


def put_in_place(data_dir: Path, *, tell: Tell) -> None:
    """Exchange the data store for the stage, which nobody has open any more.

    Raises:
        sqlite3.OperationalError: somebody has the data open all the same; it is as it was.
    """
    tell("writing it anew")
    directory, data = data_dir / STAGE, data_dir / DATA_FILE
    whole = directory / "whole.db"
    files.compact(directory / DATA_FILE, whole)
    files.synced(directory)
    step("stage written anew")
    tell("putting it in place")
    if data.exists():
        _alone(data)
    for suffix in files.SIDE_FILES:
        data.with_name(data.name + suffix).unlink(missing_ok=True)
    files.synced(data_dir)
    step("old log removed")
    whole.replace(data)
    step("data replaced")
    files.synced(data_dir)
    step("replacement lasting")


def _alone(data: Path) -> None:
    try:
        files.single(data)
    except sqlite3.DatabaseError as error:
        # What cannot be read can neither be used by anybody nor be lost.
        if error.sqlite_errorcode & 0xFF not in UNREADABLE:
            raise


def clear(data_dir: Path) -> None:
    """Remove the stage, if there is one."""
    shutil.rmtree(data_dir / STAGE, ignore_errors=True)
    step("stage removed")
