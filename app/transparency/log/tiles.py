"""Where the tree is kept: tiles of up to 256 hashes, as in C2SP tlog-tiles, in the register.

A proof reads a few tiles at each level, of which there are three for sixteen million entries. A batch writes the tiles
that it adds to, at the right edge, and no other.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import bindparam, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert
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
"""Of the tag over one leaf: a seal of nothing, bound to the leaf and its index."""

_TILE = select(Tile.hashes, Tile.guards).where(Tile.level == bindparam("level"), Tile.position == bindparam("position"))


def guard_owner(origin_id: UUID) -> Owner:
    """Return whose key guards the leaves of a log."""
    return Owner.log(origin_id)


def guard_context(index: int, leaf: bytes) -> str:
    """Say what the tag over a leaf is bound to."""
    return f"log_leaf:{index}:{leaf.hex()}"


class TileReader:
    """The tree as one transaction on the register sees it; a tile that was read is read once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self.tiles_read = 0
        """How many tiles were asked of the register."""

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree of 2**level leaves that begins at leaf index * 2**level."""
        at, above = divmod(level, HEIGHT)
        first = index << above
        position, place = divmod(first, WIDTH)
        hashes = self.tile(at, position)[0][HASH_BYTES * place : HASH_BYTES * (place + (1 << above))]
        if len(hashes) != HASH_BYTES << above:
            msg = f"the log has no node {index} at level {level}"
            raise LookupError(msg)
        return _folded(hashes)

    def tile(self, level: int, position: int) -> tuple[bytes, bytes]:
        """Return a tile's hashes and guards; of one that is not there, nothing."""
        known = self._read.get((level, position))
        if known is None:
            self.tiles_read += 1
            row = self._session.connection().execute(_TILE, {"level": level, "position": position}).first()
            known = (b"", b"") if row is None else (row.hashes, row.guards)
            self._read[level, position] = known
        return known


def _folded(hashes: bytes) -> bytes:
    """Return the root of a complete subtree whose leaves are *hashes*."""
    nodes = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    while len(nodes) > 1:
        nodes = [merkle.node_hash(left, right) for left, right in zip(nodes[::2], nodes[1::2], strict=True)]
    return nodes[0]


def append_leaves(session: Session, leaves: Sequence[bytes], *, size: int, guard: Key) -> bytes:
    """Put *leaves* at the end of a tree of *size* leaves; return the new root."""
    if leaves:
        guards = [guard.seal(b"", guard_context(index, leaf)) for index, leaf in enumerate(leaves, start=size)]
        session.execute(
            insert(LeafIndex), [{"leaf": leaf, "index": index} for index, leaf in enumerate(leaves, start=size)]
        )
        _append_level(session, 0, size, leaves, guards)
    return merkle.root(TileReader(session), size + len(leaves))


def _append_level(
    session: Session, level: int, count: int, hashes: Sequence[bytes], guards: Sequence[bytes] = ()
) -> None:
    """Put *hashes* at the end of a level that has *count*; what fills a tile goes on at the level above."""
    above: list[bytes] = []
    first_above = count // WIDTH
    done = 0
    while done < len(hashes):
        position, place = divmod(count + done, WIDTH)
        held, tags = TileReader(session).tile(level, position)
        # What stands beyond the size of the tree was never part of it.
        held, tags = held[: HASH_BYTES * place], tags[: GUARD_BYTES * place]
        some = slice(done, done + WIDTH - place)
        held += b"".join(hashes[some])
        tags += b"".join(guards[some])
        done = min(some.stop, len(hashes))
        row = upsert(Tile).values(level=level, position=position, hashes=held, guards=tags)
        session.execute(
            row.on_conflict_do_update(index_elements=["level", "position"], set_={"hashes": held, "guards": tags})
        )
        if len(held) == HASH_BYTES * WIDTH:
            above.append(_folded(held))
    if above:
        _append_level(session, level + 1, first_above, above)
