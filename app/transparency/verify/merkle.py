"""The tree of RFC 6962 (the same in RFC 9162): its root, and proofs that a leaf is in it and that it only grew. Pure.

What must be so:

* A leaf is hashed behind a 0 and a node behind a 1, so that neither passes for the other.
* A tree is read through `Nodes` alone, and a root or a proof asks it O(log n) times, however many leaves there are.
* Verifying answers no and does not raise, whatever numbers and bytes a stranger sends.
* **A root does not say how many leaves are under it.** A proof holds for every size and index that lead along the same
  way: that of leaf 0 among 3 holds, with the same root, for leaf 0 among 4. Size and root belong together where they
  were signed together: take both from one checkpoint, never the size from beside it.

Where a node has its sibling, from the leaf up, follows from two numbers: its own index on that level, and the last
index on it. A node that is the last of its level and has an even index has no sibling there; it goes up as it is.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Protocol

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()
"""The root of no leaves at all."""
MAX_LEAVES = 2**63 - 1
"""Leaves of a tree: what a signed integer of 64 bits counts. It bounds what a proof can make a verifier do."""


class Nodes(Protocol):
    """The complete subtrees of a tree, wherever they are kept."""

    def node(self, level: int, index: int) -> bytes:
        """Return the hash over 2**level leaves, from leaf index * 2**level on. All of them are there."""
        ...


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(nodes: Nodes, size: int) -> bytes:
    """Return the root over the first *size* leaves."""
    return _over(nodes, 0, size) if size else EMPTY_ROOT


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Return what leads from the leaf at *index* to the root over *size* leaves: its siblings, from below.

    Raises:
        ValueError: there is no such leaf among them.
    """
    if not 0 <= index < size:
        raise ValueError("no such leaf")
    return list(_siblings(nodes, 0, index, size))


def consistency_proof(nodes: Nodes, old: int, size: int) -> list[bytes]:
    """Return what shows that the first *old* of *size* leaves are what they were; nothing if that is none or all.

    It leads from the last complete subtree of the old tree to the new root; what stands to the left on that way leads
    to the old root as well. That subtree comes first, unless it is the old tree itself.

    Raises:
        ValueError: the tree was never larger than it is.
    """
    if not 0 <= old <= size:
        raise ValueError("no such older tree")
    if old in {0, size}:
        return []
    level, index = _last_complete(old)
    start = [nodes.node(level, index)] if index else []
    return [*start, *_siblings(nodes, level, index, size)]


def verify_inclusion(proof: Sequence[bytes], *, leaf: bytes, index: int, size: int, root: bytes) -> bool:
    """Say whether *proof* leads from the leaf hash *leaf* at *index* to *root*, that of *size* leaves."""
    if not (0 <= index < size <= MAX_LEAVES and _are_hashes(proof, leaf, root)):
        return False
    on_left = list(_stand_left(index, size - 1))
    return len(proof) == len(on_left) and _climbed(leaf, zip(proof, on_left, strict=True)) == root


def verify_consistency(proof: Sequence[bytes], *, old: int, old_root: bytes, size: int, root: bytes) -> bool:
    """Say whether *proof* shows that the tree of *size* leaves begins with all *old* leaves of the older one."""
    if not (0 <= old <= size <= MAX_LEAVES and _are_hashes(proof, old_root, root)):
        return False
    if old == 0:
        return not proof and old_root == EMPTY_ROOT and (size > 0 or root == EMPTY_ROOT)
    if old == size:
        return not proof and old_root == root
    level, index = _last_complete(old)
    on_left = list(_stand_left(index, (size - 1) >> level))
    whole = list(proof) if index else [old_root, *proof]
    if len(whole) != len(on_left) + 1:
        return False
    start, path = whole[0], list(zip(whole[1:], on_left, strict=True))
    return _climbed(start, compress(path, on_left)) == old_root and _climbed(start, path) == root


def _last_complete(size: int) -> tuple[int, int]:
    """Return level and index of the largest complete subtree that ends with the last of *size* leaves, one or more."""
    level = (size & -size).bit_length() - 1
    return level, (size - 1) >> level


def _stand_left(index: int, last: int) -> Iterator[bool]:
    """Say of each sibling on the way from a node up to the root whether it stands on the left."""
    while last:
        if index & 1 or index < last:
            yield bool(index & 1)
        index, last = index >> 1, last >> 1


def _siblings(nodes: Nodes, level: int, index: int, size: int) -> Iterator[bytes]:
    """Give the siblings themselves, of the node at *level* and *index*, from below."""
    while last := (size - 1) >> level:
        if index & 1:
            yield nodes.node(level, index - 1)
        elif index < last:
            yield _over(nodes, (index + 1) << level, min((index + 2) << level, size))
        level, index = level + 1, index >> 1


def _over(nodes: Nodes, begin: int, end: int) -> bytes:
    """Return the hash over the leaves from *begin* to before *end*, one or more, where such a subtree can begin.

    At the right edge it is not complete, and is put together from complete ones, each smaller than the one before.
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


def _climbed(start: bytes, steps: Iterable[tuple[bytes, bool]]) -> bytes:
    """Return the hash that *start* and these siblings lead to, each with whether it stands on the left."""
    here = start
    for sibling, on_left in steps:
        here = node_hash(sibling, here) if on_left else node_hash(here, sibling)
    return here


def _are_hashes(proof: Sequence[bytes], *others: bytes) -> bool:
    return all(isinstance(one, bytes) and len(one) == HASH_BYTES for one in (*proof, *others))
