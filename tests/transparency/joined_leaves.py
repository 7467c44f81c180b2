"""Leaves that wait for a batch, and the tree that they joined, read past the program's own queries."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from app.transparency.log import batch, entries
from app.transparency.log.entries import LoggedAct
from app.vault.open import open_vault
from app.vault.vault import Vault
from tests.support.byte_scan import rows
from tests.support.service_fixture import settings_for
from tests.transparency.trees import Grown

START = datetime(2031, 1, 1, tzinfo=UTC)
"""The first instant of a turn."""
TURN = timedelta(seconds=600)
PADDING = 8


@contextmanager
def stores(root: Path) -> Iterator[Vault]:
    """Open the stores in *root*, with nobody else at work."""
    vault = open_vault(settings_for(root, log_interval=TURN.total_seconds()))
    yield vault
    vault.data.close()
    vault.register.store.close()


@contextmanager
def begun(root: Path) -> Iterator[Vault]:
    """Open them when a first batch took what a new service leaves waiting, at START."""
    with stores(root) as vault:
        assert batch.append_batch(vault, now=START) is not None
        yield vault


def wait(vault: Vault, count: int = 1) -> list[bytes]:
    """Let *count* leaves wait, each in a transaction of its own; returns them in that order."""
    made = [entries.make_entry(LoggedAct.RETENTION_RUN, number=secrets.randbits(53)) for _ in range(count)]
    for one in made:
        with vault.data.write() as session:
            entries.add_pending_leaf(session, one.leaf)
    return [one.leaf for one in made]


def waiting(vault: Vault) -> set[bytes]:
    """Return what has not joined the tree."""
    return {leaf for (leaf,) in rows(vault.data.path, "SELECT leaf FROM pending_leaves")}


def logged(vault: Vault) -> list[bytes]:
    """Return every leaf of the tree in order, and see that each head is the root over the first of them."""
    register = vault.register.store.path
    tiles = rows(register, "SELECT hashes FROM log_tiles WHERE level = 0 ORDER BY position")
    hashes = b"".join(one for (one,) in tiles)
    leaves = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    tree = Grown(leaves) if leaves else None
    for size, root in rows(register, "SELECT size, root FROM log_heads WHERE size > 0"):
        assert tree is not None
        assert tree.root(size) == root
    by_index = rows(register, 'SELECT leaf FROM log_leaves ORDER BY "index"')
    assert leaves == [leaf for (leaf,) in by_index], "the index says where each leaf is"
    return leaves


def sizes(vault: Vault) -> list[int]:
    """Return how many leaves each batch added."""
    heads = [size for (size,) in rows(vault.register.store.path, "SELECT size FROM log_heads ORDER BY size")]
    return [after - before for before, after in pairwise(heads)]
