"""Merkle trees to prove from, and claims about them that our verifier and another implementation judge."""

from dataclasses import dataclass, field

import scitt_cose.merkle as other_implementation

from app.transparency.verify import merkle


class MemoryTree:
    """A tree over leaf hashes, with every complete subtree in memory."""

    def __init__(self, leaves: list[bytes]) -> None:
        self._levels = [leaves]
        while len(below := self._levels[-1]) > 1:
            pairs = zip(below[::2], below[1::2], strict=False)
            self._levels.append([merkle.node_hash(left, right) for left, right in pairs])

    def node(self, level: int, index: int) -> bytes:
        return self._levels[level][index]

    def root(self, size: int) -> bytes:
        return merkle.root(self, size)


class UniformTree:
    """A tree of the largest size. Its leaves are equal, so that all nodes of a level are equal too."""

    def __init__(self) -> None:
        self._levels = [merkle.leaf_hash(b"")]
        while 1 << len(self._levels) <= merkle.MAX_LEAVES:
            self._levels.append(merkle.node_hash(self._levels[-1], self._levels[-1]))

    def node(self, level: int, index: int) -> bytes:
        return self._levels[level]


@dataclass
class CountingTree:
    """Another tree, cut to *size* leaves, that records which nodes are read."""

    nodes: merkle.Nodes
    size: int
    read: list[tuple[int, int]] = field(default_factory=list)

    def node(self, level: int, index: int) -> bytes:
        assert index >= 0
        assert (index + 1) << level <= self.size, "not a complete subtree of this tree"
        self.read.append((level, index))
        return self.nodes.node(level, index)


ENTRIES = [number.to_bytes(2, "big") for number in range(5001)]
"""All different."""
HEX = [entry.hex() for entry in ENTRIES]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]
TREE = MemoryTree(LEAVES)


def in_hex(hashes: list[bytes]) -> list[str]:
    """Return hashes in the form of the other implementation."""
    return [node.hex() for node in hashes]


@dataclass(frozen=True)
class InclusionClaim:
    """The claim that an entry is in a tree."""

    proof: list[bytes]
    entry: bytes
    index: int
    size: int
    root: bytes

    @classmethod
    def true_for(cls, index: int, size: int) -> "InclusionClaim":
        """Return the true claim about an entry of TREE."""
        return cls(merkle.inclusion_proof(TREE, index, size), ENTRIES[index], index, size, TREE.root(size))

    def holds(self) -> bool:
        leaf = merkle.leaf_hash(self.entry)
        return merkle.verify_inclusion(self.proof, leaf=leaf, index=self.index, size=self.size, root=self.root)

    def holds_elsewhere(self) -> bool:
        """Return the judgement of the other implementation."""
        claim = self.entry.hex(), self.index, self.size, in_hex(self.proof), self.root.hex()
        return bool(other_implementation.verify_inclusion(*claim))


@dataclass(frozen=True)
class ConsistencyClaim:
    """The claim that a tree only grew."""

    proof: list[bytes]
    old: int
    old_root: bytes
    size: int
    root: bytes

    @classmethod
    def true_for(cls, old: int, size: int) -> "ConsistencyClaim":
        """Return the true claim about two sizes of TREE."""
        return cls(merkle.consistency_proof(TREE, old, size), old, TREE.root(old), size, TREE.root(size))

    def holds(self) -> bool:
        roots = {"old_root": self.old_root, "root": self.root}
        return merkle.verify_consistency(self.proof, old=self.old, size=self.size, **roots)

    def holds_elsewhere(self) -> bool:
        """Return the judgement of the other implementation."""
        claim = self.old_root.hex(), self.root.hex(), self.old, self.size, in_hex(self.proof)
        return bool(other_implementation.verify_consistency(*claim))
