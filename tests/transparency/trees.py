"""Trees to prove from, and what a proof claims of one: believed or not, by ours and by another implementation."""

from dataclasses import dataclass, field

import scitt_cose.merkle as another

from app.transparency.verify import merkle


class Grown:
    """A tree of these leaf hashes, every complete subtree in memory."""

    def __init__(self, leaves: list[bytes]) -> None:
        self._levels = [leaves]
        while len(below := self._levels[-1]) > 1:
            pairs = zip(below[::2], below[1::2], strict=False)
            self._levels.append([merkle.node_hash(left, right) for left, right in pairs])

    def node(self, level: int, index: int) -> bytes:
        return self._levels[level][index]

    def root(self, size: int) -> bytes:
        return merkle.root(self, size)


class Uniform:
    """A tree whose leaves are all equal, so that every node of a level is: it has as many leaves as a tree may have."""

    def __init__(self) -> None:
        self._levels = [merkle.leaf_hash(b"")]
        while 1 << len(self._levels) <= merkle.MAX_LEAVES:
            self._levels.append(merkle.node_hash(self._levels[-1], self._levels[-1]))

    def node(self, level: int, index: int) -> bytes:
        return self._levels[level]


@dataclass
class Counting:
    """Another tree of *size* leaves, and what it was asked."""

    nodes: merkle.Nodes
    size: int
    asked: list[tuple[int, int]] = field(default_factory=list)

    def node(self, level: int, index: int) -> bytes:
        assert index >= 0
        assert (index + 1) << level <= self.size, "not a complete subtree of this tree"
        self.asked.append((level, index))
        return self.nodes.node(level, index)


ENTRIES = [number.to_bytes(2, "big") for number in range(5001)]
"""No two are equal."""
HEX = [one.hex() for one in ENTRIES]
LEAVES = [merkle.leaf_hash(one) for one in ENTRIES]
TREE = Grown(LEAVES)


def hexed(hashes: list[bytes]) -> list[str]:
    """Write hashes as the other implementation does."""
    return [one.hex() for one in hashes]


@dataclass(frozen=True)
class Included:
    """The claim that an entry is in a tree."""

    proof: list[bytes]
    entry: bytes
    index: int
    size: int
    root: bytes

    @classmethod
    def of(cls, index: int, size: int) -> "Included":
        """Claim what is true of the tree."""
        return cls(merkle.inclusion_proof(TREE, index, size), ENTRIES[index], index, size, TREE.root(size))

    def ours(self) -> bool:
        leaf = merkle.leaf_hash(self.entry)
        return merkle.verify_inclusion(self.proof, leaf=leaf, index=self.index, size=self.size, root=self.root)

    def theirs(self) -> bool:
        claim = self.entry.hex(), self.index, self.size, hexed(self.proof), self.root.hex()
        return bool(another.verify_inclusion(*claim))


@dataclass(frozen=True)
class Consistent:
    """The claim that a tree only grew."""

    proof: list[bytes]
    old: int
    old_root: bytes
    size: int
    root: bytes

    @classmethod
    def of(cls, old: int, size: int) -> "Consistent":
        """Claim what is true of the tree."""
        return cls(merkle.consistency_proof(TREE, old, size), old, TREE.root(old), size, TREE.root(size))

    def ours(self) -> bool:
        claim = {"old_root": self.old_root, "root": self.root}
        return merkle.verify_consistency(self.proof, old=self.old, size=self.size, **claim)

    def theirs(self) -> bool:
        claim = self.old_root.hex(), self.root.hex(), self.old, self.size, hexed(self.proof)
        return bool(another.verify_consistency(*claim))
