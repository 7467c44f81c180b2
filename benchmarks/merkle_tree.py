"""The tree of the transparency log at many sizes: the cost of a proof, the cost of a batch, and the size."""

import random
import secrets
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import insert, text

from app.db.store import Store
from app.kit.clock import utc_now
from app.settings import Settings
from app.startup import Run, prepare
from app.transparency.log import batch, tiles
from app.transparency.log import service as log
from app.transparency.log.tiles import TileReader
from app.transparency.tables import LogHead, PendingLeaf
from app.transparency.verify import merkle
from app.vault.open import open_vault
from app.vault.vault import Vault
from benchmarks.report import say, table

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
AT_ONCE: Final = 20_000
PROOFS: Final = 300
NAIVE_PROOFS: Final = 5
BATCHES: Final = ((1, 9), (100, 9), (10_000, 5))
"""Leaves of a batch, and how often it is measured."""


def record() -> dict[str, Any]:
    """Return most of the record of a comparison's entry."""
    return {
        "comparison_id": str(uuid4()),
        "at": utc_now().isoformat(),
        "relying_party_id": str(uuid4()),
        "purpose": "verification",
        "decision": "match",
        "target_fmr": "0.001",
        "liveness": "not_checked",
    }


def bytes_a_row(store: Store, name: str) -> float:
    """Return the pages that a table and its indexes have, divided by its rows."""
    with store.read() as session:
        rows = session.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()  # noqa: S608 - a name of ours
        of_table = "SELECT name FROM sqlite_master WHERE tbl_name = :name AND type IN ('table', 'index')"
        pages = session.execute(text(f"SELECT sum(pgsize) FROM dbstat WHERE name IN ({of_table})"), {"name": name})  # noqa: S608 - as above
        return float(int(pages.scalar_one()) / max(1, int(rows)))


def measure(root: Path, *, largest: int) -> None:
    """Let a tree grow to each size and measure it; then join batches to the largest."""
    settings = Settings(data_dir=root / "data", keys_dir=root / "keys")
    vault = open_vault(settings)
    prepare(vault, settings, Run.MIGRATE)
    batch.append_batch(vault, settings=settings, now=utc_now(), at_once=True)
    lines, naive_lines = [], []
    with closing(sqlite3.connect(root / "naive.db")) as naive:
        naive.execute("CREATE TABLE leaves (id INTEGER PRIMARY KEY, leaf BLOB)")
        for size in [size for size in SIZES if size < largest] + [largest]:
            leaves = _grow(vault, naive, size)
            lines.append(_proofs(vault, leaves, size))
            naive_lines.append(_beside_naive(vault, naive, size))
    say(f"Proofs, medians of {PROOFS}; tiles read: median, most:")
    head = ["entries", "inclusion: tiles", "µs", "consistency: tiles", "µs", "answered, with the index and signed, µs"]
    table([*head, "MiB", "bytes an entry"], lines)
    say()
    say(f"An inclusion proof beside one from all leaves, in turn, medians of {NAIVE_PROOFS}:")
    table(["entries", "tiles, ms", "all leaves, ms", "ratio"], naive_lines)
    say()
    say(
        "Register, by table: "
        + ", ".join(f"{n} {bytes_a_row(vault.register.store, n):.0f}" for n in _REGISTER)
        + " bytes a row"
    )
    say()
    _batches(vault, settings)
    vault.close()


_REGISTER = ("log_tiles", "log_leaves", "log_heads")


def _size(vault: Vault) -> int:
    with vault.register.store.read() as session:
        head = batch.latest_head_row(session)
    return 0 if head is None else head.size


def _grow(vault: Vault, naive: sqlite3.Connection, size: int) -> list[bytes]:
    """Fill the tree up to *size* with random leaves; returns some of them."""
    guard = vault.register.key(tiles.guard_owner(vault.register.check_origin()))
    some: list[bytes] = []
    while (there := _size(vault)) < size:
        # In order of their bytes, so that filling is quick; a batch is measured in no order.
        leaves = sorted(secrets.token_bytes(32) for _ in range(min(AT_ONCE, size - there)))
        with vault.register.store.write() as session:
            root = tiles.append_leaves(session, leaves, size=there, guard=guard)
            now = utc_now()
            session.add(LogHead(size=there + len(leaves), root=root, made_at=now, looked_at=now))
        naive.executemany("INSERT INTO leaves (leaf) VALUES (?)", [(leaf,) for leaf in leaves])
        naive.commit()
        some += random.sample(leaves, min(100, len(leaves)))
    vault.register.store.checkpoint()
    return some


def _us(times: Sequence[float]) -> str:
    return f"{1e6 * statistics.median(times):,.0f}"


def _proofs(vault: Vault, leaves: Sequence[bytes], size: int) -> list[str]:
    cells = [f"{size:,}"]
    kinds: tuple[Callable[[TileReader], object], ...] = (
        lambda nodes: merkle.inclusion_proof(nodes, random.randrange(size), size),
        lambda nodes: merkle.consistency_proof(nodes, random.randrange(1, size), size),
    )
    for prove in kinds:
        took, read = [], []
        for _ in range(PROOFS):
            with vault.register.store.read() as session:
                nodes, began = TileReader(session), time.perf_counter()
                prove(nodes)
                took.append(time.perf_counter() - began)
            read.append(nodes.tiles_read)
        cells += [f"{statistics.median(read):.0f}, {max(read)}", _us(took)]
    took = []
    for _ in range(PROOFS):
        leaf, began = random.choice(leaves), time.perf_counter()
        log.prove_inclusion(vault, leaf)
        took.append(time.perf_counter() - began)
    store = vault.register.store.bytes()
    return [*cells, _us(took), f"{store / 2**20:.1f}", f"{store / size:.0f}"]


def _beside_naive(vault: Vault, naive: sqlite3.Connection, size: int) -> list[str]:
    took: dict[str, list[float]] = {"tiles": [], "naive": []}
    for _ in range(NAIVE_PROOFS):
        index = random.randrange(size)
        began = time.perf_counter()
        with vault.register.store.read() as session:
            ours = merkle.inclusion_proof(TileReader(session), index, size)
        took["tiles"].append(time.perf_counter() - began)
        # The first leaves of ours were the service's own: the trees differ, their shapes do not.
        began = time.perf_counter()
        theirs = _from_all([leaf for (leaf,) in naive.execute("SELECT leaf FROM leaves ORDER BY id")], index)
        took["naive"].append(time.perf_counter() - began)
        if abs(len(ours) - len(theirs)) > 1:
            raise SystemExit("the proofs differ")
    fast, slow = (1000 * statistics.median(took[name]) for name in ("tiles", "naive"))
    return [f"{size:,}", f"{fast:.2f}", f"{slow:,.1f}", f"{slow / fast:,.0f}"]


def _from_all(level: list[bytes], index: int) -> list[bytes]:
    """Make the proof by making the tree, level by level."""
    index = min(index, len(level) - 1)
    proof = []
    while len(level) > 1:
        if (index ^ 1) < len(level):
            proof.append(level[index ^ 1])
        above = [merkle.node_hash(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = above + level[len(above) * 2 :]
        index >>= 1
    return proof


def _batches(vault: Vault, settings: Settings) -> None:
    lines, before = [], _size(vault)
    for leaves, repeats in BATCHES:
        took = []
        for _ in range(repeats):
            pending = [{"leaf": secrets.token_bytes(32), "salt": None, "record": None} for _ in range(leaves)]
            with vault.data.write() as session:
                session.execute(insert(PendingLeaf), pending)
            began = time.perf_counter()
            batch.append_batch(vault, settings=settings, now=utc_now(), at_once=True)
            took.append(time.perf_counter() - began)
        # Maintenance empties the write-ahead log once a minute; the batch does not.
        vault.checkpoint_all()
        seconds = statistics.median(took)
        lines.append(
            [
                f"{leaves:,}",
                f"{repeats}",
                f"{1000 * seconds:,.1f}",
                f"{1000 * max(took):,.1f}",
                f"{leaves / seconds:,.0f}",
            ]
        )
    say(f"A batch, on top of {before:,} entries; the first row is the log's padding to 8:")
    table(["leaves", "times", "ms, median", "ms, longest", "leaves a second"], lines)
