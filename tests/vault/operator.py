"""What an operator does with backups, in this process and as a process of its own."""

import subprocess
from pathlib import Path

from app.backup.create import back_up
from app.backup.restore import Restored
from app.backup.restore import restore as restore_backup
from app.kit.clock import Clock, utc_now
from app.vault.backup_manifest import Manifest
from tests.support.service_fixture import settings_for

DATA = "data/mien.db"


def backed_up(root: Path, to: Path) -> Manifest:
    """Make a backup of the service in *root*."""
    return back_up(settings_for(root), to=to, version="0.2.0", now=utc_now(), tell=lambda _doing: None)


def restored(root: Path, backup: Path, *, clock: Clock = utc_now) -> Restored:
    """Restore a backup into *root*."""
    return restore_backup(settings_for(root), backup=backup, now=clock, tell=lambda _doing: None)


def refused(done: subprocess.CompletedProcess[str], reason: str) -> bool:
    """Say whether a command was refused in one readable line that gives this reason."""
    lines = done.stderr.splitlines()
    return (
        (done.returncode, done.stdout, len(lines)) == (1, "", 1)
        and lines[0].startswith("mien: ")
        and reason in lines[0]
    )


def contents(*directories: Path) -> dict[str, bytes]:
    """Read every file under *directories*, but for the lock that says who uses them: it is empty."""
    return {
        str(path): path.read_bytes()
        for directory in directories
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != "lock"
    }
