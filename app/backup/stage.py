"""Replace the data store by a backup that is prepared beside it, the *stage*.

1. Copy the backup to the stage. Refuse it if it is damaged, foreign or newer; the data is unchanged.
2. The caller migrates the stage and deletes everything that has ended: see `app.backup.restore`.
3. Rewrite the stage, merge the old database into one file, and rename the new one over it.

SQLite would apply an old write-ahead log to the new database. So it is removed, durably, before the rename: a crash
leaves the old data or the new, without side files.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from app.db.migrate import knows
from app.db.sqlite import files
from app.kit.crash_points import step
from app.kit.files import fsync, mark_and_empty, open_regular, remove_work_directory, work_directory
from app.kit.progress import Progress
from app.settings import Settings
from app.vault import backup_manifest
from app.vault.backup_manifest import BackupError, Manifest
from app.vault.directory_lock import STAGE
from app.vault.open import DATA_FILE, REGISTER_FILE

COPIED_AT_ONCE = 1024 * 1024
UNREADABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def stage(
    backup: Path, *, settings: Settings, authenticate: Callable[[Manifest], None], progress: Progress
) -> Manifest:
    """Copy a backup to the stage and check the copy. The caller must always `clear` the stage.

    Args:
        backup: the directory of the backup.
        settings: name the data directory, which has the stage, and the directory of the register.
        authenticate: raises if this register did not make the manifest. Called before the database is opened.
        progress: called with the name of each step.

    Raises:
        BackupError: it is damaged, belongs to another register, or a newer version made it.
    """
    manifest = backup_manifest.read(backup)
    _check_schema(manifest)
    _check_register(manifest, settings.register_dir)
    authenticate(manifest)
    clear(settings.data_dir)
    directory = settings.data_dir / STAGE
    with work_directory(directory) as handle:
        mark_and_empty(handle)
    step("stage made")
    progress("copying")
    copied = directory / DATA_FILE
    _copy(backup / manifest.file, copied, max_bytes=manifest.size)
    if (copied.stat().st_size, files.sha256(copied)) != (manifest.size, manifest.sha256):
        msg = f"the backup is damaged: {manifest.file} does not match its manifest"
        raise BackupError(msg)
    step("backup copied")
    progress("checking")
    _check_contents(copied, manifest)
    return manifest


def _copy(source: Path, to: Path, *, max_bytes: int) -> None:
    """Copy at most one byte more than the manifest states: then the size differs."""
    with open_regular(to, "xb") as copied, suppress(FileNotFoundError), open_regular(source) as original:
        left = max_bytes + 1
        while left and (part := original.read(min(left, COPIED_AT_ONCE))):
            copied.write(part)
            left -= len(part)


def _check_schema(manifest: Manifest) -> None:
    if not knows("mien", manifest.schema):
        msg = f"the backup was made by a newer version of Mien ({manifest.mien_version}); use that version"
        raise BackupError(msg)


def _check_register(manifest: Manifest, register_dir: Path) -> None:
    register = register_dir / REGISTER_FILE
    if not register.exists() or not register.stat().st_size:
        msg = (
            f"there is no register in {register_dir}: without its keys no backup opens, and every row would be treated "
            "as ended. Set MIEN_KEYS_DIR to the register of this backup"
        )
        raise BackupError(msg)
    try:
        origin_id = files.query_value(register, "SELECT id FROM origin")
    except sqlite3.OperationalError:
        origin_id = None
    if origin_id is None or UUID(str(origin_id)) != manifest.origin_id:
        msg = (
            f"the backup belongs to another register than the one in {register_dir}: with it every row would be "
            "treated as ended. Set MIEN_KEYS_DIR to the register of this backup"
        )
        raise BackupError(msg)


def _check_contents(copied: Path, manifest: Manifest) -> None:
    try:
        found = files.find_damage(copied)
        content = (
            str(files.query_value(copied, "SELECT version_num FROM alembic_version")),
            UUID(str(files.query_value(copied, "SELECT origin_id FROM bound_to"))),
        )
    except (sqlite3.DatabaseError, ValueError) as error:
        msg = f"the backup is damaged: {error}"
        raise BackupError(msg) from error
    if found:
        msg = f"the backup is damaged: {found[0]}"
        raise BackupError(msg)
    if content != (manifest.schema, manifest.origin_id):
        msg = "the backup is damaged: its manifest belongs to another database"
        raise BackupError(msg)


def put_in_place(data_dir: Path, *, progress: Progress) -> None:
    """Replace the data store by the stage. No process may have the stage open.

    Raises:
        sqlite3.OperationalError: another process has the data open; it is unchanged.
    """
    progress("rewriting")
    directory, data = data_dir / STAGE, data_dir / DATA_FILE
    whole = directory / "whole.db"
    files.compact(directory / DATA_FILE, whole)
    fsync(directory)
    step("stage rewritten")
    progress("replacing the data")
    files.refuse_links(data)
    if data.exists():
        _merge_side_files(data)
    for suffix in files.SIDE_FILES:
        data.with_name(data.name + suffix).unlink(missing_ok=True)
    fsync(data_dir)
    step("old write-ahead log removed")
    whole.replace(data)
    step("data replaced")
    fsync(data_dir)
    step("replacement synced")


def _merge_side_files(data: Path) -> None:
    try:
        files.merge_side_files(data)
    except sqlite3.DatabaseError as error:
        # An unreadable database is in use by no process, and has nothing to lose.
        if error.sqlite_errorcode & 0xFF not in UNREADABLE:
            raise


def clear(data_dir: Path) -> None:
    """Remove the stage, if it exists."""
    remove_work_directory(data_dir / STAGE)
    step("stage removed")
