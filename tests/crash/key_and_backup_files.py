"""The files beside the two databases: key-encryption keys, and a backup."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from app.vault import backup_manifest
from tests.support.byte_scan import SEALED, rows

BACKUP = "backup"
"""Directory of backups, beside the data and the keys."""


def keys_and_backup(root: Path) -> dict[str, Any]:
    """Return the digests of all key-encryption keys and of those in use, and the content of the backup."""
    query = "SELECT kek_id FROM keys WHERE wrapped <> zeroblob(60) UNION SELECT kek_id FROM origin"
    return {
        "kek": {
            "files": {file.name: _digest(file.read_bytes()) for file in _files(root)},
            "in use": [_digest(kek_id.encode()) for (kek_id,) in rows(root / "keys" / "register.db", query)],
        },
        "backup": _backup(root / BACKUP),
    }


def keks(root: Path) -> frozenset[bytes]:
    """Return every key-encryption key, in the form in which its file has it."""
    return frozenset(content for file in _files(root) if (content := file.read_bytes().strip(b"\0\n")))


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def _files(root: Path) -> list[Path]:
    return sorted((root / "keys").glob("kek*"))


def _backup(directory: Path) -> dict[str, Any] | None:
    """Read a backup; an incomplete one fails."""
    if not directory.exists():
        return None
    said, content = backup_manifest.read(directory), (directory / "mien.db").read_bytes()
    assert sorted(path.name for path in directory.iterdir()) == [backup_manifest.MANIFEST_FILE, "mien.db"]
    assert (said.size, said.sha256) == (len(content), _digest(content))
    assert rows(directory / "mien.db", "PRAGMA integrity_check") == [("ok",)]
    tables = tables_of(directory / "mien.db")
    for table, column in SEALED.items():
        for row in tables[table]:
            row[column] = row[column] and "sealed"
    return tables


def unfinished(root: Path) -> bool:
    """Return whether an unfinished backup exists."""
    return any(root.glob(".*.unfinished"))


def tables_of(database: Path) -> dict[str, list[dict[str, Any]]]:
    """Read every row of every table without the service."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        # The next number of a sequence is not content.
        which = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'sqlite_sequence'"
        names = [row[0] for row in connection.execute(which)]
        query = "SELECT * FROM {}"
        return {name: [dict(row) for row in connection.execute(query.format(name))] for name in names}
