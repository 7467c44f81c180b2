"""The Merkle tree of RFC 6962 (and RFC 9162): root, inclusion proof and consistency proof. No I/O.

Rules:

* A leaf is hashed after a 0 byte and a node after a 1 byte, so that neither passes for the other.
* A tree is read through `Nodes` alone. A root or a proof reads O(log n) nodes.
* Verification returns False and never raises, for any numbers and bytes.
* **A root does not fix the number of leaves.** A proof is valid for each size and index with the same path: the proof
  of leaf 0 among 3 is also valid for leaf 0 among 4. Take size and root from one signed checkpoint.

The index of a node and the last index of its level give the side of its sibling. A node with an even index that is the
last of its level has no sibling there, and moves up unchanged.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Protocol

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()
"""The root of an empty tree."""
MAX_LEAVES = 2**63 - 1
"""The largest signed 64-bit integer. It bounds the work of a verifier."""


class Nodes(Protocol):
    """Access to the complete subtrees of a tree."""

    def node(self, level: int, index: int) -> bytes:
        """Return the hash over the 2**level leaves that begin at leaf index * 2**level. All of them exist."""
        ...


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the parent of two nodes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(nodes: Nodes, size: int) -> bytes:
    """Return the root over the first *size* leaves."""
    return _subtree_hash(nodes, 0, size) if size else EMPTY_ROOT


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Return the audit path of the leaf at *index* in a tree of *size* leaves: its siblings, from below.

    Raises:
        ValueError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError("no such leaf")
    return list(_siblings(nodes, 0, index, size))


def consistency_proof(nodes: Nodes, old: int, size: int) -> list[bytes]:
    """Return the proof that a tree of *size* leaves begins with the tree of its first *old* leaves.

    The path leads from the last complete subtree of the old tree to the new root; its left siblings alone lead to the
    old root. The proof begins with that subtree, unless it is the old tree itself. For 0 or all leaves it is empty.

    Raises:
        ValueError: *old* is negative or larger than *size*.
    """
    if not 0 <= old <= size:
        raise ValueError("no such earlier tree")
    if old in {0, size}:
        return []
    level, index = _last_complete(old)
    start = [nodes.node(level, index)] if index else []
    return [*start, *_siblings(nodes, level, index, size)]


def verify_inclusion(proof: Sequence[bytes], *, leaf: bytes, index: int, size: int, root: bytes) -> bool:
    """Return whether *proof* leads from the leaf hash *leaf* at *index* to *root*, the root of *size* leaves."""
    if not (0 <= index < size <= MAX_LEAVES and _are_hashes(proof, leaf, root)):
        return False
    on_left = list(_sibling_sides(index, size - 1))
    return len(proof) == len(on_left) and _hash_up(leaf, zip(proof, on_left, strict=True)) == root


def verify_consistency(proof: Sequence[bytes], *, old: int, old_root: bytes, size: int, root: bytes) -> bool:
    """Return whether *proof* shows that the tree of *size* leaves begins with the tree of *old* leaves."""
    if not (0 <= old <= size <= MAX_LEAVES and _are_hashes(proof, old_root, root)):
        return False
    if old == 0:
        return not proof and old_root == EMPTY_ROOT and (size > 0 or root == EMPTY_ROOT)
    if old == size:
        return not proof and old_root == root
    level, index = _last_complete(old)
    on_left = list(_sibling_sides(index, (size - 1) >> level))
    whole = list(proof) if index else [old_root, *proof]
    if len(whole) != len(on_left) + 1:
        return False
    start, path = whole[0], list(zip(whole[1:], on_left, strict=True))
    return _hash_up(start, compress(path, on_left)) == old_root and _hash_up(start, path) == root


def _last_complete(size: int) -> tuple[int, int]:
    """Return level and index of the largest complete subtree that ends with the last of *size* leaves."""
    level = (size & -size).bit_length() - 1
    return level, (size - 1) >> level


def _sibling_sides(index: int, last: int) -> Iterator[bool]:
    """Yield, for each sibling on the path from a node to the root, whether it is on the left."""
    while last:
        if index & 1 or index < last:
            yield bool(index & 1)
        index, last = index >> 1, last >> 1


def _siblings(nodes: Nodes, level: int, index: int, size: int) -> Iterator[bytes]:
    """Yield the siblings on the path from the node at *level* and *index* to the root."""
    while last := (size - 1) >> level:
        if index & 1:
            yield nodes.node(level, index - 1)
        elif index < last:
            yield _subtree_hash(nodes, (index + 1) << level, min((index + 2) << level, size))
        level, index = level + 1, index >> 1


def _subtree_hash(nodes: Nodes, begin: int, end: int) -> bytes:
    """Return the hash over the leaves from *begin* to before *end*: one subtree, which the right edge may cut.

    A cut subtree consists of complete ones, each smaller than the one before.
    """
    parts: list[bytes] = []
    for level in reversed(range((end - begin).bit_length())):
        if (end - begin) >> level & 1:
            parts.append(nodes.node(level, begin >> level))
            begin += 1 << level
    whole = parts.pop()
    while parts:
        whole = node_hash(parts.pop(), whole)
    return whole


def _hash_up(start: bytes, steps: Iterable[tuple[bytes, bool]]) -> bytes:
    """Return the hash that *start* and its siblings lead to. Each step is a sibling, and whether it is on the left."""
    node = start
    for sibling, on_left in steps:
        node = node_hash(sibling, node) if on_left else node_hash(node, sibling)
    return node


def _are_hashes(proof: Sequence[bytes], *others: bytes) -> bool:
    return all(isinstance(item, bytes) and len(item) == HASH_BYTES for item in (*proof, *others))
