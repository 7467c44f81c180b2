"""Pending leaves, and the leaves of the tree, read with plain SQL instead of the program's own queries."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from app.transparency.log import batch, entries
from app.vault.open import open_vault
from app.vault.vault import Vault
from tests.support.byte_scan import rows
from tests.support.service_fixture import settings_for
from tests.support.sqlite_stores import in_file
from tests.transparency.trees import MemoryTree

START = datetime(2031, 1, 1, tzinfo=UTC)
"""The beginning of an interval."""
TURN = timedelta(seconds=600)
PADDING = 8
SETTINGS = settings_for(Path("unused"), log_interval=TURN.total_seconds())
"""Settings of the batches; their directories are not used."""


@contextmanager
def open_stores(root: Path) -> Iterator[Vault]:
    """Open the stores in *root*, without a running service."""
    vault = open_vault(settings_for(root, log_interval=TURN.total_seconds()))
    yield vault
    vault.close()


@contextmanager
def with_first_batch(root: Path) -> Iterator[Vault]:
    """Open the stores after a first batch, at START, which has the entries of a new log."""
    with open_stores(root) as vault:
        assert batch.append_batch(vault, settings=SETTINGS, now=START) is not None
        yield vault


def add_pending(vault: Vault, count: int = 1) -> list[bytes]:
    """Add *count* pending leaves, each in a transaction of its own; return them in that order."""
    leaves = [secrets.token_bytes(32) for _ in range(count)]
    for leaf in leaves:
        with vault.data.write() as session:
            entries.add_pending_leaf(session, leaf)
    return leaves


def pending_leaves(vault: Vault) -> set[bytes]:
    return {leaf for (leaf,) in rows(in_file(vault.data).path, "SELECT leaf FROM pending_leaves")}


def read_leaves(vault: Vault) -> list[bytes]:
    """Return the leaves of the tree in order, after checking each head and the index against them."""
    register = in_file(vault.register.store).path
    tiles = rows(register, "SELECT hashes FROM log_tiles WHERE level = 0 ORDER BY position")
    hashes = b"".join(tile for (tile,) in tiles)
    leaves = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    tree = MemoryTree(leaves) if leaves else None
    for size, root in rows(register, "SELECT size, root FROM log_heads WHERE size > 0"):
        assert tree is not None
        assert tree.root(size) == root
    by_index = rows(register, 'SELECT leaf FROM log_leaves ORDER BY "index"')
    assert leaves == [leaf for (leaf,) in by_index]
    return leaves


def batch_sizes(vault: Vault) -> list[int]:
    """Return the number of leaves that each batch added."""
    heads = [size for (size,) in rows(in_file(vault.register.store).path, "SELECT size FROM log_heads ORDER BY size")]
    return [after - before for before, after in pairwise(heads)]
