"""Logs to look through: grown batch by batch as a service grows one, in real stores, and then tampered with."""

import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.transparency.audit import service as audit
from app.transparency.audit.findings import Finding
from app.transparency.log import batch, entries
from app.transparency.log.entries import LoggedAct
from app.transparency.log.tiles import GUARD_BYTES, HASH_BYTES, HEIGHT, WIDTH
from app.transparency.verify import merkle
from app.vault.open import open_vault
from app.vault.vault import Vault
from tests.support.service_fixture import settings_for

NOW = datetime(2031, 1, 1, 12, tzinfo=UTC)


@contextmanager
def opened(root: Path, **settings: Any) -> Iterator[Vault]:
    """Open the stores in *root*, as a command does."""
    vault = open_vault(settings_for(root, **settings))
    try:
        yield vault
    finally:
        vault.data.close()
        vault.register.store.close()


def grown(root: Path, *batches: int) -> int:
    """Let batches of so many leaves join the log, the first with an open record; return its size."""
    with opened(root, log_padding=1) as vault:
        for number, count in enumerate(batches):
            with vault.data.write() as session:
                for _ in range(count - 1):
                    entries.add_pending_leaf(session, secrets.token_bytes(HASH_BYTES))
                entries.append_open_entry(session, LoggedAct.RETENTION_RUN, number=number)
            joined = batch.append_batch(vault, now=NOW + timedelta(hours=number), at_once=True)
    assert joined is not None
    return joined.size


def audited(root: Path, *, now: datetime = NOW) -> audit.AuditReport:
    with opened(root) as vault:
        return audit.audit_log(vault, now=now, progress=lambda _doing: None)


def first(root: Path) -> Finding:
    """Return the first finding."""
    return audited(root).findings[0]


class Tampered:
    """A store's file, in the hands of somebody who knows SQL and the tree, and has no key."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")

    def __call__(self, statement: str, *values: object) -> list[Any]:
        """Run a statement; it must change something, or find something."""
        cursor = self._connection.execute(statement, values)
        found = cursor.fetchall()
        assert found or cursor.rowcount > 0, statement
        return found

    @property
    def size(self) -> int:
        return int(self("SELECT max(size) FROM log_heads")[0][0])

    def leaves(self) -> list[bytes]:
        return self._parts("hashes", HASH_BYTES)

    def guards(self) -> list[bytes]:
        return self._parts("guards", GUARD_BYTES)

    def _parts(self, column: str, length: int) -> list[bytes]:
        rows = self(f"SELECT {column} FROM log_tiles WHERE level = 0 ORDER BY position")  # noqa: S608 - our own words
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
        """Make tiles, index and, if wanted, heads anew, so that all of them agree on these leaves."""
        self("DELETE FROM log_tiles")
        self("DELETE FROM log_leaves")
        for index, leaf in enumerate(leaves):
            self('INSERT INTO log_leaves (leaf, "index") VALUES (?, ?)', leaf, index)
        self._level(0, leaves, guards)
        level, below = 0, list(leaves)
        while len(below) >= WIDTH:
            whole = len(below) // WIDTH * WIDTH
            below = [_over(below[at : at + WIDTH]) for at in range(0, whole, WIDTH)]
            level += 1
            self._level(level, below, [])
        if heads:
            for (size,) in self("SELECT size FROM log_heads"):
                self("UPDATE log_heads SET root = ? WHERE size = ?", _over(leaves[:size]), size)

    def _level(self, level: int, hashes: Sequence[bytes], guards: Sequence[bytes]) -> None:
        for position in range(-(-len(hashes) // WIDTH)):
            some = slice(position * WIDTH, (position + 1) * WIDTH)
            row = level, position, b"".join(hashes[some]), b"".join(guards[some])
            self("INSERT INTO log_tiles (level, position, hashes, guards) VALUES (?, ?, ?, ?)", *row)


@contextmanager
def tampering(root: Path, file: str = "keys/register.db") -> Iterator[Tampered]:
    with closing(sqlite3.connect(root / file, isolation_level=None)) as connection:
        yield Tampered(connection)


def _over(leaves: Sequence[bytes]) -> bytes:
    """Return the root over some leaves, put together as RFC 6962 says it."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return merkle.node_hash(_over(leaves[:left]), _over(leaves[left:]))


assert WIDTH == 1 << HEIGHT


def rolled_back(root: Path, aside: Path) -> int:
    """Put the register back to what it was before 20 leaves, by a copy in *aside*; return the size of the log then."""
    with opened(root) as vault:
        assert vault.checkpoint_all()
    shutil.copy(root / "keys" / "register.db", aside / "older.db")
    with tampering(root) as tampered:
        size = tampered.size
    grown(root, 20)
    with opened(root) as vault:
        assert vault.checkpoint_all()
    shutil.copy(aside / "older.db", root / "keys" / "register.db")
    return size
