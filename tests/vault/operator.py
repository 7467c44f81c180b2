"""Backups and restores as the operator makes them, in this process or as a process of its own."""

from pathlib import Path

from app.backup.create import back_up
from app.backup.restore import RestoreResult
from app.backup.restore import restore as restore_backup
from app.kit.clock import Clock, utc_now
from app.vault.backup_manifest import Manifest
from tests.support.service_fixture import settings_for

DATA = "data/mien.db"


def make_backup(root: Path, to: Path) -> Manifest:
    """Make a backup of the service in *root*."""
    return back_up(settings_for(root), to=to, version="0.2.0", now=utc_now(), progress=lambda _work: None)


def restore(root: Path, backup: Path, *, clock: Clock = utc_now, unauthenticated: bool = False) -> RestoreResult:
    """Restore a backup into *root*."""
    settings = settings_for(root)
    return restore_backup(
        settings, backup=backup, now=clock, progress=lambda _work: None, unauthenticated=unauthenticated
    )


def contents(*directories: Path) -> dict[str, bytes]:
    """Read every file under *directories*, except the lock file, which is empty."""
    return {
        str(path): path.read_bytes()
        for directory in directories
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != "lock"
    }
