"""The tree in the register: tiles of up to 256 hashes, as in C2SP tlog-tiles.

A proof reads a few tiles of each level; a log of sixteen million entries has three levels. A batch writes only the
tiles at the right edge that it extends.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from app.transparency.tables import LeafIndex, Tile
from app.transparency.verify import merkle
from app.vault.register import Owner
from app.vault.seal import NONCE_BYTES, TAG_BYTES, Key

HEIGHT = 8
"""Levels of the tree in one tile."""
WIDTH = 2**HEIGHT
"""Hashes in a full tile."""
HASH_BYTES = merkle.HASH_BYTES
GUARD_BYTES = NONCE_BYTES + TAG_BYTES
"""The length of the tag of one leaf: a seal of an empty text, bound to the leaf and its index."""

_TILE = select(Tile.hashes).where(Tile.level == bindparam("level"), Tile.position == bindparam("position"))


def guard_owner(origin_id: UUID) -> Owner:
    """Return the owner of the key that makes the tags of a log."""
    return Owner.log(origin_id)


def guard_context(index: int, leaf: bytes) -> str:
    """Return the context that the tag of a leaf is bound to."""
    return f"log_leaf:{index}:{leaf.hex()}"


class TileReader:
    """The tree as one transaction on the register sees it. Each tile is read, and each node computed, at most once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read: dict[tuple[int, int], bytes] = {}
        self._computed: dict[tuple[int, int], bytes] = {}

    @property
    def tiles_read(self) -> int:
        """The number of tiles that were read."""
        return len(self._read)

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree of 2**level leaves that begins at leaf index * 2**level."""
        if level % HEIGHT:
            if (level, index) not in self._computed:
                below = (self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))
                self._computed[level, index] = merkle.node_hash(*below)
            return self._computed[level, index]
        position, place = divmod(index, WIDTH)
        stored = self._hashes(level // HEIGHT, position)[HASH_BYTES * place : HASH_BYTES * (place + 1)]
        if len(stored) != HASH_BYTES:
            msg = f"the log has no node {index} at level {level}"
            raise LookupError(msg)
        return stored

    def _hashes(self, level: int, position: int) -> bytes:
        if (level, position) not in self._read:
            values = {"level": level, "position": position}
            self._read[level, position] = self._session.connection().execute(_TILE, values).scalar() or b""
        return self._read[level, position]


def _fold(hashes: bytes) -> bytes:
    """Return the root of the complete subtree over *hashes*."""
    nodes = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    while len(nodes) > 1:
        nodes = [merkle.node_hash(left, right) for left, right in zip(nodes[::2], nodes[1::2], strict=True)]
    return nodes[0]


def append_leaves(session: Session, leaves: Sequence[bytes], *, size: int, guard: Key) -> bytes:
    """Append *leaves* to a tree of *size* leaves; return the new root."""
    if leaves:
        places = list(enumerate(leaves, start=size))
        session.execute(insert(LeafIndex), [{"leaf": leaf, "index": index} for index, leaf in places])
        _append_level(session, 0, size, leaves, [guard.seal(b"", guard_context(*place)) for place in places])
        session.flush()
    return merkle.root(TileReader(session), size + len(leaves))


def _append_level(
    session: Session, level: int, count: int, hashes: Sequence[bytes], guards: Sequence[bytes] = ()
) -> None:
    """Append *hashes* to a level of *count* hashes, and the root of each tile that becomes full to the level above."""
    above: list[bytes] = []
    first_above = count // WIDTH
    done = 0
    while done < len(hashes):
        position, place = divmod(count + done, WIDTH)
        tile = session.get(Tile, (level, position)) or Tile(level=level, position=position, hashes=b"", guards=b"")
        session.add(tile)
        some = slice(done, done + WIDTH - place)
        # Bytes beyond the size of the tree were never part of it.
        tile.hashes = tile.hashes[: HASH_BYTES * place] + b"".join(hashes[some])
        tile.guards = tile.guards[: GUARD_BYTES * place] + b"".join(guards[some])
        done = min(some.stop, len(hashes))
        if len(tile.hashes) == HASH_BYTES * WIDTH:
            above.append(_fold(tile.hashes))
    if above:
        _append_level(session, level + 1, first_above, above)
