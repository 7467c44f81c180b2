"""Transparency logs in real stores: made batch by batch, then changed with SQL."""

import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.transparency.audit.findings import Finding
from app.transparency.audit.service import AuditReport, audit_log
from app.transparency.log import batch, entries
from app.transparency.log.entries import LoggedAct
from app.transparency.log.tiles import GUARD_BYTES, HASH_BYTES, HEIGHT, WIDTH
from app.transparency.verify import merkle
from app.vault.open import open_vault
from app.vault.vault import Vault
from tests.support.service_fixture import settings_for

NOW = datetime(2031, 1, 1, 12, tzinfo=UTC)


@contextmanager
def open_stores(root: Path, **settings: Any) -> Iterator[Vault]:
    """Open the stores in *root*, as a command does."""
    vault = open_vault(settings_for(root, **settings))
    try:
        yield vault
    finally:
        vault.close()


def append_batches(root: Path, *batches: int) -> int:
    """Append batches with these numbers of leaves, each with one open entry; return the size of the log."""
    settings = settings_for(root, log_padding=1)
    with open_stores(root) as vault:
        for number, count in enumerate(batches):
            with vault.data.write() as session:
                for _ in range(count - 1):
                    entries.add_pending_leaf(session, secrets.token_bytes(HASH_BYTES))
                entries.append_open_entry(session, LoggedAct.RETENTION_RUN, number=number)
            joined = batch.append_batch(vault, settings=settings, now=NOW + timedelta(hours=number), at_once=True)
    assert joined is not None
    return joined.size


def run_audit(root: Path, *, now: datetime = NOW) -> AuditReport:
    with open_stores(root) as vault:
        return audit_log(vault, now=now, progress=lambda _doing: None)


def first_finding(root: Path) -> Finding:
    return run_audit(root).findings[0]


class TamperedStore:
    """A store's file in the hands of an attacker who knows SQL and the tree, and has no key."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")

    def __call__(self, statement: str, *values: object) -> list[Any]:
        """Run a statement that must find or change a row."""
        cursor = self._connection.execute(statement, values)
        rows = cursor.fetchall()
        assert rows or cursor.rowcount > 0, statement
        return rows

    @property
    def size(self) -> int:
        return int(self("SELECT max(size) FROM log_heads")[0][0])

    def leaves(self) -> list[bytes]:
        return self._parts("hashes", HASH_BYTES)

    def guards(self) -> list[bytes]:
        return self._parts("guards", GUARD_BYTES)

    def _parts(self, column: str, length: int) -> list[bytes]:
        rows = self(f"SELECT {column} FROM log_tiles WHERE level = 0 ORDER BY position")  # noqa: S608 - a constant
        whole = b"".join(row[0] for row in rows)
        return [whole[at : at + length] for at in range(0, len(whole), length)]

    def change(self, index: int, leaf: bytes) -> None:
        """Put another leaf into its tile."""
        position, place = divmod(index, WIDTH)
        [(hashes,)] = self("SELECT hashes FROM log_tiles WHERE level = 0 AND position = ?", position)
        at = HASH_BYTES * place
        changed = hashes[:at] + leaf + hashes[at + HASH_BYTES :]
        self("UPDATE log_tiles SET hashes = ? WHERE level = 0 AND position = ?", changed, position)

    def rebuild(self, leaves: Sequence[bytes], guards: Sequence[bytes], *, heads: bool = True) -> None:
        """Replace tiles and index, and with *heads* the roots too, so that they agree on these leaves."""
        self("DELETE FROM log_tiles")
        self("DELETE FROM log_leaves")
        for index, leaf in enumerate(leaves):
            self('INSERT INTO log_leaves (leaf, "index") VALUES (?, ?)', leaf, index)
        self._level(0, leaves, guards)
        level, below = 0, list(leaves)
        while len(below) >= WIDTH:
            whole = len(below) // WIDTH * WIDTH
            below = [_root(below[at : at + WIDTH]) for at in range(0, whole, WIDTH)]
            level += 1
            self._level(level, below, [])
        if heads:
            for (size,) in self("SELECT size FROM log_heads"):
                self("UPDATE log_heads SET root = ? WHERE size = ?", _root(leaves[:size]), size)

    def _level(self, level: int, hashes: Sequence[bytes], guards: Sequence[bytes]) -> None:
        for position in range(-(-len(hashes) // WIDTH)):
            some = slice(position * WIDTH, (position + 1) * WIDTH)
            row = level, position, b"".join(hashes[some]), b"".join(guards[some])
            self("INSERT INTO log_tiles (level, position, hashes, guards) VALUES (?, ?, ?, ?)", *row)


@contextmanager
def tampered_store(root: Path, file: str = "keys/register.db") -> Iterator[TamperedStore]:
    # One transaction, because each commit waits for the disk.
    with closing(sqlite3.connect(root / file)) as connection, connection:
        yield TamperedStore(connection)


def _root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaves, as RFC 6962 defines it."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return merkle.node_hash(_root(leaves[:left]), _root(leaves[left:]))


assert WIDTH == 1 << HEIGHT


def roll_register_back(root: Path, aside: Path) -> int:
    """Append 20 leaves, then restore the register from a copy made before in *aside*; return its size."""
    with open_stores(root) as vault:
        assert vault.checkpoint_all()
    shutil.copy(root / "keys" / "register.db", aside / "older.db")
    with tampered_store(root) as tampered:
        size = tampered.size
    append_batches(root, 20)
    with open_stores(root) as vault:
        assert vault.checkpoint_all()
    shutil.copy(aside / "older.db", root / "keys" / "register.db")
    return size
