"""Audit of the tree: every leaf, every hash above, and every root, from the first entry to the last.

An attacker who can write to the register can make tiles, index and roots agree on a false leaf. They cannot make its
tag, because they lack the log's key. So the first leaf that was changed, moved or removed is the first without a valid
tag.

Each page is read in one short transaction and checked after it, so that the service goes on and memory stays small.
Entries that join meanwhile are not checked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, func, literal, select
from sqlalchemy.orm import Session

from app.db.damaged_values import bytes_or_null
from app.kit.progress import Progress
from app.transparency.audit.findings import AuditCounts, Finding, FindingKind, read_in_pages
from app.transparency.log.tiles import GUARD_BYTES, HASH_BYTES, HEIGHT, WIDTH, guard_context
from app.transparency.tables import LeafIndex, LogHead, Tile
from app.transparency.verify import merkle
from app.transparency.verify.checkpoint import Checkpoint
from app.vault.seal import Key, SealError
from app.vault.vault import Vault

PAGE = 64
"""Tiles read together: 16,384 leaves, some two megabytes."""
HEADS_PAGE = 10_000

# A value that is not bytes counts as missing.
TILES = (
    select(
        Tile.position,
        func.coalesce(bytes_or_null(Tile.hashes), literal(b"")),
        func.coalesce(bytes_or_null(Tile.guards), literal(b"")),
    )
    .where(Tile.level == 0, Tile.position >= bindparam("first"), Tile.position < bindparam("end"))
    .order_by(Tile.position)
)
NODES = select(bytes_or_null(Tile.hashes)).where(
    Tile.level == bindparam("level"), Tile.position == bindparam("position")
)
HEADS = select(LogHead.size, bytes_or_null(LogHead.root).label("root"))
LATEST = select(func.max(LogHead.size))


class Frontier:
    """A tree that is built leaf by leaf and keeps only its right edge: O(log n) hashes, and the root of every size."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[bytes] = []
        """The complete subtrees that the tree consists of, largest first: one for each bit of the size."""

    def add(self, leaf: bytes) -> list[bytes]:
        """Add a leaf; return the complete subtrees that end with it, from the leaf upwards."""
        completed = [leaf]
        while self.size >> (len(completed) - 1) & 1:
            completed.append(merkle.node_hash(self._edge.pop(), completed[-1]))
        self._edge.append(completed[-1])
        self.size += 1
        return completed

    def root(self) -> bytes:
        """Return the root over the leaves so far."""
        if not self._edge:
            return merkle.EMPTY_ROOT
        *larger, whole = self._edge
        for subtree in reversed(larger):
            whole = merkle.node_hash(subtree, whole)
        return whole


@dataclass(frozen=True, slots=True)
class _Tile:
    """One tile of leaves."""

    position: int
    leaves: bytes
    guards: bytes
    count: int
    """The number of leaves in it, by the newest head."""
    indexed: Mapping[bytes, object]
    """The index of each leaf, by `log_leaves`."""


@dataclass
class TreeAudit:
    """One walk over the tree of *size* leaves."""

    vault: Vault
    size: int
    guard: Key | None
    seen: Checkpoint | None
    counts: AuditCounts
    progress: Progress
    agrees_with_seen: bool | None = None
    """Whether the log begins with the tree of the checkpoint *seen*; None if the walk ended before."""

    def __post_init__(self) -> None:
        """Begin before the first leaf."""
        self._frontier = Frontier()
        self._above: dict[int, tuple[int, bytes]] = {}
        """The tile at each upper level that is compared at present: its position and hashes."""
        self._heads = read_in_pages(self.vault.register.store, HEADS, key=LogHead.size, page=HEADS_PAGE)
        self._next = next(self._heads, None)
        self._proven = 0
        """The largest size with a correct root."""

    def find_first(self) -> Finding | None:
        """Return the first finding. The walk ends there, because later ones may only follow from it."""
        if self._next is None or self._next.size != 0:
            return Finding(FindingKind.HEAD_MISSING, 0, "the first head, of the empty log, is missing")
        if found := self._check_root():
            return found
        for tile in self._tiles():
            for place in range(min(WIDTH, self.size - tile.position * WIDTH)):
                if found := self._check_leaf(tile, place) or self._check_root():
                    return found
            if len(tile.leaves) != tile.count * HASH_BYTES or len(tile.guards) != tile.count * GUARD_BYTES:
                return entries_without_head(tile.position * WIDTH + tile.count)
            if tile.position % PAGE == 0:
                self.progress(f"{self.counts.leaves:,} of {self.size:,} entries")
        return None

    def _check_leaf(self, tile: _Tile, place: int) -> Finding | None:
        index = tile.position * WIDTH + place
        leaf = tile.leaves[HASH_BYTES * place : HASH_BYTES * (place + 1)]
        if len(leaf) != HASH_BYTES:
            return Finding(FindingKind.LEAF_MISSING, index, f"entry {index} is missing in the tree")
        tag = tile.guards[GUARD_BYTES * place : GUARD_BYTES * (place + 1)]
        if self.guard is not None and not _is_valid(self.guard, tag, index, leaf):
            what = f"entry {index} is not the original one: its tag is wrong"
            return Finding(FindingKind.LEAF_CHANGED, index, what)
        if (indexed := tile.indexed.get(leaf)) != index:
            where = "nowhere" if indexed is None else f"at {indexed}"
            what = f"the index has entry {index} {where}, so that it has no proof"
            return Finding(FindingKind.INDEX_WRONG, index, what)
        completed = self._frontier.add(leaf)
        self.counts.leaves += 1
        return self._check_nodes(index, completed) if len(completed) > HEIGHT else None

    def _check_nodes(self, index: int, completed: list[bytes]) -> Finding | None:
        """Compare the subtrees that end with the leaf at *index* with the tiles above."""
        for level in range(1, (len(completed) - 1) // HEIGHT + 1):
            position, place = divmod(index >> HEIGHT * level, WIDTH)
            first = index >> HEIGHT * level << HEIGHT * level
            hashes = self._tile_above(level, position)
            self.counts.nodes += 1
            if hashes[HASH_BYTES * place : HASH_BYTES * (place + 1)] != completed[HEIGHT * level]:
                what = f"the hash over the entries {first} to {index} at level {level} is wrong"
                return Finding(FindingKind.NODE_WRONG, first, what)
        return None

    def _tile_above(self, level: int, position: int) -> bytes:
        known = self._above.get(level)
        if known is None or known[0] != position:
            with self.vault.register.store.read() as session:
                found = session.execute(NODES, {"level": level, "position": position}).scalar()
            known = self._above[level] = position, found or b""
        return known[1]

    def _check_root(self) -> Finding | None:
        """Compare the root over the leaves so far with the head of this size, and with the checkpoint *seen*."""
        size = self._frontier.size
        if self.seen is not None and self.seen.size == size:
            self.agrees_with_seen = self.seen.root == self._frontier.root()
        if self._next is None or self._next.size != size:
            return None
        root = self._next.root
        self._next = next(self._heads, None)
        self.counts.heads += 1
        if root != self._frontier.root():
            doubt = f"; the entries {self._proven} to {size - 1} are in doubt" if size else ""
            return Finding(FindingKind.ROOT_WRONG, self._proven, f"the root of {size} entries is wrong{doubt}")
        self._proven = size
        return None

    def _tiles(self) -> Iterator[_Tile]:
        """Yield the tiles of leaves in order; a missing one as an empty one."""
        tiles = -(-self.size // WIDTH)
        for first in range(0, tiles, PAGE):
            end = min(first + PAGE, tiles)
            with self.vault.register.store.read() as session:
                latest = session.execute(LATEST).scalar_one()
                rows = session.execute(TILES, {"first": first, "end": end})
                found = {position: (leaves, guards) for position, leaves, guards in rows}
                indexed = _read_index(session, [leaves for leaves, _ in found.values()])
            for position in range(first, end):
                leaves, guards = found.get(position, (b"", b""))
                yield _Tile(position, leaves, guards, min(WIDTH, latest - position * WIDTH), indexed)


def entries_without_head(index: int) -> Finding:
    """Return the finding that the tree goes beyond the newest head."""
    return Finding(FindingKind.HEAD_MISSING, index, f"there are entries from {index} on, but no head counts them")


def _is_valid(guard: Key, tag: bytes, index: int, leaf: bytes) -> bool:
    try:
        return guard.open(tag, guard_context(index, leaf)) == b""
    except SealError:
        return False


def _read_index(session: Session, tiles: list[bytes]) -> dict[bytes, object]:
    """Return the index of each leaf in these tiles."""
    found: dict[bytes, object] = {}
    for tile in tiles:
        leaves = [tile[at : at + HASH_BYTES] for at in range(0, HASH_BYTES * WIDTH, HASH_BYTES)]
        rows = session.execute(select(LeafIndex.leaf, LeafIndex.index).where(LeafIndex.leaf.in_(leaves)))
        found.update((row[0], row[1]) for row in rows)
    return found
