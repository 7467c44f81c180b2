"""A changed proof is refused, here and by another implementation. No input raises an error."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.transparency.verify import merkle
from tests.transparency.trees import ENTRIES, LEAVES, TREE, ConsistencyClaim, InclusionClaim, MemoryTree

LARGEST_SIZE = 300
BITS = st.integers(0, 8 * merkle.HASH_BYTES - 1)
SIZES = st.integers(1, LARGEST_SIZE)
INCLUSION = SIZES.flatmap(
    lambda size: st.builds(InclusionClaim.true_for, st.integers(0, size - 1), st.just(size)),
)
CONSISTENCY = SIZES.flatmap(
    lambda size: st.builds(ConsistencyClaim.true_for, st.integers(1, size), st.just(size + 1)),
)


def with_flipped_bit(content: bytes, bit: int) -> bytes:
    return bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(content))


@st.composite
def changed(draw: st.DrawFn, proof: list[bytes]) -> list[bytes]:
    """Draw another proof: with a bit flipped, a hash dropped or added, or two hashes swapped."""
    new = list(proof)
    match draw(st.sampled_from(["add"] + ["flip", "drop"] * bool(proof) + ["swap"] * (len(proof) > 1))):
        case "add":
            known = st.sampled_from([*proof, *LEAVES[:LARGEST_SIZE], merkle.EMPTY_ROOT, TREE.root(LARGEST_SIZE)])
            new.insert(draw(st.integers(0, len(proof))), draw(known))
        case "flip":
            at = draw(st.integers(0, len(proof) - 1))
            new[at] = with_flipped_bit(new[at], draw(BITS))
        case "drop":
            del new[draw(st.integers(0, len(proof) - 1))]
        case "swap":
            first, second = draw(st.lists(st.integers(0, len(proof) - 1), min_size=2, max_size=2, unique=True))
            new[first], new[second] = new[second], new[first]
    return new


def refused(claim: InclusionClaim | ConsistencyClaim) -> bool:
    """Return whether both implementations refuse a claim."""
    return not claim.holds() and not claim.holds_elsewhere()


@settings(max_examples=150)
@given(claim=INCLUSION | CONSISTENCY, data=st.data())
def test_a_changed_proof_is_refused(claim: InclusionClaim | ConsistencyClaim, data: st.DataObject) -> None:
    assert claim.holds()
    assert claim.holds_elsewhere()
    assert refused(replace(claim, proof=data.draw(changed(claim.proof))))


@settings(max_examples=100)
@given(claim=INCLUSION, bit=BITS, number=SIZES)
def test_an_inclusion_proof_holds_for_its_leaf_index_and_tree_only(
    claim: InclusionClaim, bit: int, number: int
) -> None:
    assert refused(replace(claim, root=with_flipped_bit(claim.root, bit)))
    assert refused(replace(claim, entry=with_flipped_bit(claim.entry, bit % 16)))
    assert number == claim.index or refused(replace(claim, index=number))
    assert number == claim.index or refused(replace(claim, entry=ENTRIES[number]))
    assert number == claim.size or refused(replace(claim, root=TREE.root(number)))
    assert number == claim.size or refused(replace(claim, size=number, root=TREE.root(number)))


@settings(max_examples=100)
@given(claim=CONSISTENCY, bit=BITS, number=SIZES)
def test_a_consistency_proof_holds_for_its_two_trees_only(claim: ConsistencyClaim, bit: int, number: int) -> None:
    assert refused(replace(claim, old_root=with_flipped_bit(claim.old_root, bit)))
    assert refused(replace(claim, root=with_flipped_bit(claim.root, bit)))
    assert number == claim.old or refused(replace(claim, old_root=TREE.root(number)))
    assert number == claim.old or refused(replace(claim, old=number, old_root=TREE.root(number)))
    assert number == claim.size or refused(replace(claim, root=TREE.root(number)))
    assert number == claim.size or refused(replace(claim, size=number, root=TREE.root(number)))


@given(claim=CONSISTENCY, past=st.sampled_from(["changed", "dropped", "moved to the end"]), data=st.data())
def test_a_tree_with_another_past_has_no_consistency_proof(
    claim: ConsistencyClaim, past: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, claim.old - 1))
    before, leaf, after = LEAVES[:at], LEAVES[at], LEAVES[at + 1 : claim.size + 1]
    middle, end = {"changed": ([merkle.EMPTY_ROOT], []), "dropped": ([], []), "moved to the end": ([], [leaf])}[past]
    other = MemoryTree([*before, *middle, *after, *end])
    forged = merkle.consistency_proof(other, claim.old, claim.size)

    assert refused(replace(claim, proof=forged, root=other.root(claim.size)))


def test_both_implementations_accept_the_same_false_sizes() -> None:
    """A root does not fix its size, only a signature over both does: leaf 0 of three has the same proof as of four."""
    assert replace(InclusionClaim.true_for(0, 3), size=4).holds()
    assert replace(ConsistencyClaim.true_for(3, 4), old=6, size=8).holds()
    few = range(1, 10)
    for size, number, other, old in product(few, few, few, few):
        if number < size:
            inclusion = replace(InclusionClaim.true_for(number, size), size=other)
            growth = replace(ConsistencyClaim.true_for(number, size), old=old, size=other)

            assert inclusion.holds() == inclusion.holds_elsewhere()
            assert growth.holds() == growth.holds_elsewhere()


NUMBERS = st.integers(-5, 5) | st.integers(merkle.MAX_LEAVES - 3, merkle.MAX_LEAVES + 3) | st.integers()
HASHES = st.sampled_from([b"", LEAVES[0], LEAVES[0][1:], LEAVES[0] + b"\0", merkle.EMPTY_ROOT])


@settings(max_examples=150)
@given(
    proof=st.lists(HASHES | st.binary(max_size=40), max_size=70), left=HASHES, right=HASHES, old=NUMBERS, new=NUMBERS
)
def test_no_input_raises_an_error(proof: list[bytes], left: bytes, right: bytes, old: int, new: int) -> None:
    included = merkle.verify_inclusion(proof, leaf=left, index=old, size=new, root=right)
    consistent = merkle.verify_consistency(proof, old=old, old_root=left, size=new, root=right)

    assert not included or (old, new, proof, left) == (0, 1, [], right)
    assert not consistent or (proof == [] and old in {0, new})


def fold(proof: list[bytes]) -> bytes:
    """Return the root that *proof* leads to from the first leaf."""
    node = LEAVES[0]
    for sibling in proof:
        node = merkle.node_hash(node, sibling)
    return node


PROOFS = [LEAVES[1 : count + 1] for count in (0, 1, 2, 63, 64)]


@pytest.mark.parametrize(
    ("index", "size"), [(-1, 3), (3, 3), (4, 3), (0, 0), (0, -1), (-2, -1), (0, 2**63), (2, 2**64)]
)
def test_an_impossible_index_is_refused(index: int, size: int) -> None:
    for proof in PROOFS:
        assert not merkle.verify_inclusion(proof, leaf=LEAVES[0], index=index, size=size, root=fold(proof))


@pytest.mark.parametrize(("old", "size"), [(-1, 3), (4, 3), (-2, -1), (1, 0), (-1, -1), (2**63, 2**63), (1, 2**63)])
def test_an_impossible_size_is_refused(old: int, size: int) -> None:
    for proof in PROOFS:
        assert not merkle.verify_consistency(proof, old=old, old_root=LEAVES[0], size=size, root=fold(proof))


@pytest.mark.parametrize("wrong", [b"", LEAVES[0][:31], LEAVES[0] + b"\0", "0" * 32])
def test_a_value_that_is_no_hash_is_refused_in_every_place(wrong: Any) -> None:
    inclusion, growth = InclusionClaim.true_for(2, 5), ConsistencyClaim.true_for(3, 5)
    for claim in (inclusion, growth):
        for at in range(len(claim.proof)):
            assert not replace(claim, proof=[*claim.proof[:at], wrong, *claim.proof[at + 1 :]]).holds()

    assert not replace(inclusion, root=wrong).holds()
    assert not replace(growth, root=wrong).holds()
    assert not replace(growth, old_root=wrong).holds()
    assert not replace(ConsistencyClaim.true_for(4, 5), old_root=wrong).holds()
    assert not merkle.verify_inclusion(inclusion.proof, leaf=wrong, index=2, size=5, root=inclusion.root)
    assert not merkle.verify_inclusion([], leaf=wrong, index=0, size=1, root=wrong)
    assert not merkle.verify_consistency([], old=5, old_root=wrong, size=5, root=wrong)


def test_the_empty_tree_is_consistent_with_every_tree_and_has_one_root() -> None:
    growth, same = ConsistencyClaim.true_for(0, 5), ConsistencyClaim.true_for(0, 0)

    assert growth.holds()
    assert same.holds()
    assert not replace(growth, proof=LEAVES[:1]).holds()
    assert not replace(growth, old_root=LEAVES[0]).holds()
    assert not replace(same, root=LEAVES[0]).holds()
    assert not replace(same, old_root=LEAVES[0], root=LEAVES[0]).holds()


def test_a_tree_is_consistent_with_itself_without_a_proof() -> None:
    same = ConsistencyClaim.true_for(5, 5)

    assert same.holds()
    assert refused(replace(same, proof=LEAVES[:1]))
    assert refused(replace(same, root=TREE.root(4)))
