"""Back up the data store while it is in use: a directory with one database and its manifest.

* Neither the register nor the key-encryption key is read.
* The data store is read once, in one pass; all other work is done on the copy.
* The directory has a temporary name until everything in it is on the disk.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

from app.db.sqlite import files
from app.kit.crash_points import operation, step
from app.kit.progress import Progress
from app.settings import Settings
from app.vault.backup_manifest import LAST_BACKUP_FILE, MANIFEST_FILE, BackupError, Manifest
from app.vault.directory_lock import locked
from app.vault.open import DATA_FILE


@operation("backup")
def back_up(settings: Settings, *, to: Path, version: str, now: datetime, progress: Progress) -> Manifest:
    """Create a backup in *to*, which appears complete or not at all.

    Raises:
        BackupError: *to* cannot hold it, there is no data, or the data is damaged.
    """
    to, source = to.absolute(), settings.data_dir / DATA_FILE
    _check_place(to, settings)
    if not source.exists() or not source.stat().st_size:
        msg = f"there is no data in {source.parent}"
        raise BackupError(msg)
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _unfinished(to) as making:
        file, raw = making / DATA_FILE, making / "copied.db"
        progress("copying")
        files.copy(source, raw)
        step("data copied")
        progress("rewriting the copy")
        files.compact(raw, file)
        raw.unlink()
        step("copy rewritten")
        progress("checking")
        manifest = _describe(file, version=version, now=now)
        (making / MANIFEST_FILE).touch(mode=0o600)
        (making / MANIFEST_FILE).write_text(manifest.to_json(), "utf-8")
        for path in (making / MANIFEST_FILE, making):
            files.fsync(path)
        step("manifest written")
        # Replaces an empty directory, but nothing else.
        making.rename(to)
        files.fsync(to.parent)
        step("backup in place")
        # Its time is the metric of the last backup.
        (settings.data_dir / LAST_BACKUP_FILE).touch(mode=0o600)
        step("time of the backup recorded")
    return manifest


def _check_place(to: Path, settings: Settings) -> None:
    for directory in (settings.data_dir, settings.register_dir):
        if to.resolve().is_relative_to(directory.resolve()):
            msg = f"{to} is inside {directory}: name a directory on another medium"
            raise BackupError(msg)
    if to.is_symlink() or (to.exists() and not to.is_dir()) or (to.is_dir() and any(to.iterdir())):
        msg = f"{to} is not empty: name a new directory for each backup"
        raise BackupError(msg)


@contextmanager
def _unfinished(to: Path) -> Iterator[Path]:
    """Create a temporary directory for the backup; remove it afterwards unless it was renamed.

    Files of a killed process are removed first; a lock tells whether another process still works there.
    """
    making = to.with_name(f".{to.name}.unfinished")
    making.mkdir(mode=0o700, exist_ok=True)
    with locked(making, busy=BackupError(f"another backup to {to} is in progress")):
        for file in making.iterdir():
            file.unlink()
        try:
            yield making
        finally:
            shutil.rmtree(making, ignore_errors=True)


def _describe(file: Path, *, version: str, now: datetime) -> Manifest:
    found = files.find_damage(file)
    if found:
        msg = f"the data is damaged ({found[0]}); no backup was made"
        raise BackupError(msg)
    try:
        origin_id = files.query_value(file, "SELECT origin_id FROM bound_to")
        schema = files.query_value(file, "SELECT version_num FROM alembic_version")
    except sqlite3.OperationalError:
        origin_id = schema = None
    if origin_id is None or schema is None:
        msg = "the data was never set up; no backup was made"
        raise BackupError(msg)
    return Manifest(
        format=1,
        made_at=now,
        mien_version=version,
        schema=str(schema),
        origin_id=UUID(str(origin_id)),
        file="mien.db",
        size=file.stat().st_size,
        sha256=files.sha256(file),
    ).with_digest()
