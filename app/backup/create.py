"""Back up the data store while it is in use: a directory with one database and its manifest.

* Neither the register nor the key-encryption key is copied. A key of the register authenticates the manifest.
* The data store is read once, in one pass; all other work is done on the copy.
* The directory has a temporary name until everything in it is on the disk.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

from app.db.migrate import at_head, refuse_newer
from app.db.sqlite import files
from app.kit.crash_points import operation, step
from app.kit.files import MARKER, fsync, mark_and_empty, open_regular, remove_work_directory, work_directory
from app.kit.progress import Progress
from app.settings import Settings
from app.vault import authenticity
from app.vault.authenticity import MacUse
from app.vault.backup_manifest import LAST_BACKUP_FILE, MANIFEST_FILE, BackupError, Manifest
from app.vault.directory_lock import locked
from app.vault.open import DATA_FILE, REGISTER_FILE, opened_register
from app.vault.seal import MacKey

FINISHED = sorted((DATA_FILE, MANIFEST_FILE, MARKER))
"""The files of a finished backup, before its marker is removed."""


@operation("backup")
def back_up(settings: Settings, *, to: Path, version: str, now: datetime, progress: Progress) -> Manifest:
    """Create a backup in *to*, which appears complete or not at all.

    Raises:
        BackupError: *to* cannot hold it, there is no data or no register, or the data is damaged.
        KekError: the key-encryption key does not belong to the register.
    """
    to, source = to.absolute(), settings.data_dir / DATA_FILE
    _check_place(to, settings)
    if not source.exists() or not source.stat().st_size:
        msg = f"there is no data in {source.parent}"
        raise BackupError(msg)
    key = _authentication_key(settings)
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _unfinished(to) as (making, handle):
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
        manifest = manifest.with_digest() if key is None else replace(manifest, format=2).with_mac(key)
        with open_regular(making / MANIFEST_FILE, "xb") as written:
            written.write(manifest.to_json().encode())
        for path in (making / MANIFEST_FILE, making):
            fsync(path)
        step("manifest written")
        _put_in_place(making, handle, to)
        step("backup in place")
        # Its time is the metric of the last backup.
        with open_regular(settings.data_dir / LAST_BACKUP_FILE, "ab+") as last:
            os.utime(last.fileno())
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


def _authentication_key(settings: Settings) -> MacKey | None:
    """Return the key for the manifest; None if this version never migrated the register, which then has none."""
    if not (settings.register_dir / REGISTER_FILE).exists():
        msg = f"there is no register in {settings.register_dir}: only with its keys a backup can be restored"
        raise BackupError(msg)
    with opened_register(settings) as register:
        refuse_newer(register.store)
        if not at_head(register.store):
            return None
        authenticity.create_key(register)
        return authenticity.mac_key(register, MacUse.MANIFEST)


@contextmanager
def _unfinished(to: Path) -> Iterator[tuple[Path, int]]:
    """Create a temporary directory for the backup, and give it with its handle; remove it unless it was renamed.

    Files of a killed process are removed first; a lock tells whether another process still works there.
    """
    making = to.with_name(f".{to.name}.unfinished")
    with (
        work_directory(making) as handle,
        locked(handle, busy=BackupError(f"another backup to {to} is in progress")),
    ):
        mark_and_empty(handle)
        try:
            yield making, handle
        finally:
            remove_work_directory(making)


def _put_in_place(making: Path, handle: int, to: Path) -> None:
    """Give the finished directory its name, unless another directory has taken its place meanwhile."""
    if not os.path.samestat(os.fstat(handle), making.lstat()) or sorted(os.listdir(handle)) != FINISHED:
        msg = f"another program changed {making}; no backup was made"
        raise BackupError(msg)
    # Replaces an empty directory, but nothing else.
    making.rename(to)
    os.unlink(MARKER, dir_fd=handle)
    os.fsync(handle)
    fsync(to.parent)


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
    )
