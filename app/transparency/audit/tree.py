"""The audit of the tree: every leaf, every hash above them, every root there was, from the first entry to the last.

Whoever can write to the register can make tiles, index and roots agree on something else. What they cannot make is the
tag over each leaf and its place (`tiles.guarded`), for want of the log's key: so the first entry that was changed, put
elsewhere or taken out is the first whose tag does not hold.

A page is read in one short transaction and looked at in none: the service works on, and memory does not grow. What
joins the log meanwhile is not looked at.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.kit.progress import Progress
from app.transparency.audit.findings import Finding, FindingKind
from app.transparency.log.tiles import GUARD_BYTES, HASH_BYTES, HEIGHT, WIDTH, guard_context
from app.transparency.tables import LeafIndex
from app.transparency.verify.checkpoint import Checkpoint
from app.transparency.verify.frontier import Frontier
from app.vault.seal import Key, SealError
from app.vault.vault import Vault

PAGE = 64
"""Tiles read together: 16,384 leaves, some two megabytes."""
HEADS_PAGE = 10_000

# In SQL, since what a column's type would refuse is what this has to find: something else than bytes is nothing here.
TILES = text(
    "SELECT position, CASE typeof(hashes) WHEN 'blob' THEN hashes ELSE x'' END,"
    " CASE typeof(guards) WHEN 'blob' THEN guards ELSE x'' END FROM log_tiles"
    " WHERE level = 0 AND position >= :first AND position < :end ORDER BY position"
)
NODES = text(
    "SELECT CASE typeof(hashes) WHEN 'blob' THEN hashes END FROM log_tiles"
    " WHERE level = :level AND position = :position"
)
HEADS = text(
    "SELECT size, CASE typeof(root) WHEN 'blob' THEN root END FROM log_heads"
    " WHERE size > :after ORDER BY size LIMIT :page"
)
LATEST = text("SELECT max(size) FROM log_heads")


@dataclass(frozen=True, slots=True)
class _Tile:
    """One tile of leaves, and where the index says that they are."""

    position: int
    leaves: bytes
    guards: bytes
    awaited: int
    """How many leaves the newest head says are in it."""
    indexed: Mapping[bytes, object]


class TreeAudit:
    """One walk over the tree of *size* leaves."""

    def __init__(
        self, vault: Vault, *, size: int, guard: Key | None, seen: Checkpoint | None, progress: Progress
    ) -> None:
        self._vault = vault
        self._size = size
        self._guard = guard
        self._seen = seen
        self._tell = progress
        self.as_seen: bool | None = None
        """Whether the log begins with what the data has seen of it; None if the walk did not come so far."""
        self._frontier = Frontier()
        self._above: dict[int, tuple[int, bytes]] = {}
        """The tile at each upper level that is being compared with: its position and hashes."""
        self._heads = _heads(vault)
        self._next = next(self._heads, None)
        self._proven = 0
        """The largest size whose root was found to be right."""
        self.nodes = self.heads = 0
        """How many were compared."""

    @property
    def leaves(self) -> int:
        """How many leaves were looked at."""
        return self._frontier.size

    def first(self) -> Finding | None:
        """Return the first finding. Nothing after it is looked at: it may only follow from it."""
        if self._next is None or self._next[0] != 0:
            return Finding(FindingKind.HEAD_MISSING, 0, "the head that every log begins with, of no entries, is gone")
        if found := self._root():
            return found
        for tile in _tiles(self._vault, self._size):
            for place in range(min(WIDTH, self._size - tile.position * WIDTH)):
                if found := self._leaf(tile, place) or self._root():
                    return found
            if len(tile.leaves) != tile.awaited * HASH_BYTES or len(tile.guards) != tile.awaited * GUARD_BYTES:
                return uncounted_entries(tile.position * WIDTH + tile.awaited)
            if tile.position % PAGE == 0:
                self._tell(f"{self.leaves:,} of {self._size:,} entries")
        return None

    def _leaf(self, tile: _Tile, place: int) -> Finding | None:
        index = tile.position * WIDTH + place
        leaf = tile.leaves[HASH_BYTES * place : HASH_BYTES * (place + 1)]
        if len(leaf) != HASH_BYTES:
            return Finding(FindingKind.LEAF_MISSING, index, f"entry {index} is gone from the tree")
        tag = tile.guards[GUARD_BYTES * place : GUARD_BYTES * (place + 1)]
        if self._guard is not None and not _holds(self._guard, tag, index, leaf):
            return Finding(
                FindingKind.LEAF_CHANGED,
                index,
                f"entry {index} is not the one that was written there: its tag does not hold",
            )
        if (there := tile.indexed.get(leaf)) != index:
            said = "nowhere" if there is None else f"at {there}"
            return Finding(
                FindingKind.INDEX_WRONG, index, f"entry {index} is {said} by the index, so that it has no proof"
            )
        done = self._frontier.add(leaf)
        return self._nodes(index, done) if len(done) > HEIGHT else None

    def _nodes(self, index: int, done: list[bytes]) -> Finding | None:
        """Compare what the leaf at *index* completes with the tiles above."""
        for level in range(1, (len(done) - 1) // HEIGHT + 1):
            position, place = divmod(index >> HEIGHT * level, WIDTH)
            first = index >> HEIGHT * level << HEIGHT * level
            hashes = self._tile_above(level, position)
            self.nodes += 1
            if hashes[HASH_BYTES * place : HASH_BYTES * (place + 1)] != done[HEIGHT * level]:
                return Finding(
                    FindingKind.NODE_WRONG,
                    first,
                    f"the hash over entries {first} to {index} at level {level} is not theirs",
                )
        return None

    def _tile_above(self, level: int, position: int) -> bytes:
        known = self._above.get(level)
        if known is None or known[0] != position:
            with self._vault.register.store.read() as session:
                found = session.execute(NODES, {"level": level, "position": position}).scalar()
            known = self._above[level] = position, found or b""
        return known[1]

    def _root(self) -> Finding | None:
        """Compare the root of the leaves so far with what was noted of it: in a head, and in the data."""
        size = self._frontier.size
        if self._seen is not None and self._seen.size == size:
            self.as_seen = self._seen.root == self._frontier.root()
        if self._next is None or self._next[0] != size:
            return None
        root = self._next[1]
        self._next = next(self._heads, None)
        self.heads += 1
        if root != self._frontier.root():
            doubt = f"; in doubt are the entries {self._proven} to {size - 1}" if size else ""
            return Finding(FindingKind.ROOT_WRONG, self._proven, f"the root of {size} entries is not theirs{doubt}")
        self._proven = size
        return None


def uncounted_entries(index: int) -> Finding:
    """Say that something stands beyond the end of the log."""
    return Finding(FindingKind.HEAD_MISSING, index, f"there are entries from {index} on, but no head that counts them")


def _holds(guard: Key, tag: bytes, index: int, leaf: bytes) -> bool:
    try:
        return guard.open(tag, guard_context(index, leaf)) == b""
    except SealError:
        return False


def _tiles(vault: Vault, size: int) -> Iterator[_Tile]:
    """Give the tiles of leaves in order; of one that is not there, an empty one."""
    tiles = -(-size // WIDTH)
    for first in range(0, tiles, PAGE):
        end = min(first + PAGE, tiles)
        with vault.register.store.read() as session:
            latest = session.execute(LATEST).scalar_one()
            rows = session.execute(TILES, {"first": first, "end": end})
            held = {position: (leaves, guards) for position, leaves, guards in rows}
            indexed = _indexed(session, [leaves for leaves, _ in held.values()])
        for position in range(first, end):
            leaves, guards = held.get(position, (b"", b""))
            yield _Tile(position, leaves, guards, min(WIDTH, latest - position * WIDTH), indexed)


def _indexed(session: Session, tiles: list[bytes]) -> dict[bytes, object]:
    """Return where the index says that the leaves of these tiles are."""
    found: dict[bytes, object] = {}
    for tile in tiles:
        leaves = [tile[at : at + HASH_BYTES] for at in range(0, HASH_BYTES * WIDTH, HASH_BYTES)]
        rows = session.execute(select(LeafIndex.leaf, LeafIndex.index).where(LeafIndex.leaf.in_(leaves)))
        found.update((row[0], row[1]) for row in rows)
    return found


def _heads(vault: Vault) -> Iterator[tuple[int, object]]:
    """Give size and root of every head, the smallest first."""
    after = -1
    while True:
        with vault.register.store.read() as session:
            page = session.execute(HEADS, {"after": after, "page": HEADS_PAGE}).all()
        yield from ((row[0], row[1]) for row in page)
        if len(page) < HEADS_PAGE:
            return
        after = page[-1][0]
