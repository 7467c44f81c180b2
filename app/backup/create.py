"""A backup of the data store, made while it is in use: one database and its manifest, in a directory of their own.

* Data only: neither the register nor the key-encryption key is read, let alone copied.
* The data store is read once, in one go; all other work is done on the copy.
* The directory is made beside its place under another name, and renamed when everything in it is on the disk.
"""

import fcntl
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

from app.db.sqlite import files
from app.kit.crash_points import operation, step
from app.kit.progress import Tell
from app.settings import Settings
from app.vault.backup_manifest import MANIFEST_FILE, BackupError, Manifest
from app.vault.open import DATA_FILE


@operation("backup")
def back_up(settings: Settings, *, to: Path, version: str, now: datetime, tell: Tell) -> Manifest:
    """Make a backup in *to*, which is then there and whole, or not there.

    Raises:
        BackupError: *to* is no place for it, or there is nothing to back up.
    """
    to, source = to.absolute(), settings.data_dir / DATA_FILE
    _check_place(to, settings)
    _check_there_is_something(source)
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _unfinished(to) as making:
        file, raw = making / DATA_FILE, making / "copied.db"
        tell("copying")
        files.copy(source, raw)
        step("data copied")
        tell("writing the copy anew")
        files.compact(raw, file)
        raw.unlink()
        step("copy written anew")
        tell("checking")
        manifest = _described(file, version=version, now=now)
        (making / MANIFEST_FILE).touch(mode=0o600)
        (making / MANIFEST_FILE).write_text(manifest.written(), "utf-8")
        for path in (making / MANIFEST_FILE, making):
            files.synced(path)
        step("manifest written")
        # Takes the place of an empty directory too, and of nothing else.
        making.rename(to)
        files.synced(to.parent)
        step("backup in place")
    return manifest


def _check_place(to: Path, settings: Settings) -> None:
    for directory in (settings.data_dir, settings.register_dir):
        if to.resolve().is_relative_to(directory.resolve()):
            msg = f"{to} is inside {directory}: name a directory on another medium"
            raise BackupError(msg)
    if to.is_symlink() or (to.exists() and not to.is_dir()) or (to.is_dir() and any(to.iterdir())):
        msg = f"{to} is not empty: name a new directory for each backup"
        raise BackupError(msg)


def _check_there_is_something(source: Path) -> None:
    if not source.exists() or not source.stat().st_size:
        msg = f"there is no data in {source.parent}"
        raise BackupError(msg)


@contextmanager
def _unfinished(to: Path) -> Iterator[Path]:
    """Give a directory to make the backup in; it is gone afterwards, renamed or removed.

    What a process that was killed left under its name is removed; the lock says whether one is still at work.
    """
    making = to.with_name(f".{to.name}.unfinished")
    making.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(making, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"another backup is being made in {to}"
            raise BackupError(msg) from error
        for left in making.iterdir():
            left.unlink()
        try:
            yield making
        finally:
            shutil.rmtree(making, ignore_errors=True)
    finally:
        os.close(descriptor)


def _described(file: Path, *, version: str, now: datetime) -> Manifest:
    found = files.faults(file)
    if found:
        msg = f"the data is damaged ({found[0]}); no backup was made"
        raise BackupError(msg)
    try:
        origin_id = files.value(file, "SELECT origin_id FROM bound_to")
        schema = files.value(file, "SELECT version_num FROM alembic_version")
    except sqlite3.OperationalError:
        origin_id = schema = None
    if origin_id is None or schema is None:
        msg = "the data was never set up; no backup was made"
        raise BackupError(msg)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Manifest(
        format=1,
        made_at=now,
        mien_version=version,
        schema=str(schema),
        origin_id=UUID(str(origin_id)),
        file="mien.db",
        size=file.stat().st_size,
        sha256=digest,
    ).with_digest()
