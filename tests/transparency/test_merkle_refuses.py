"""A proof with anything changed is refused, by ours and by another implementation; nonsense raises nothing."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.transparency.verify import merkle
from tests.transparency.trees import ENTRIES, LEAVES, TREE, Consistent, Grown, Included

LARGEST_DRAWN = 300
BITS = st.integers(0, 8 * merkle.HASH_BYTES - 1)
SIZES = st.integers(1, LARGEST_DRAWN)
THERE = SIZES.flatmap(lambda size: st.builds(Included.of, st.integers(0, size - 1), st.just(size)))
GROWN = SIZES.flatmap(lambda size: st.builds(Consistent.of, st.integers(1, size), st.just(size + 1)))


def flipped(one: bytes, bit: int) -> bytes:
    return bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(one))


@st.composite
def changed(draw: st.DrawFn, proof: list[bytes]) -> list[bytes]:
    """Draw a proof that differs: a bit flipped, a hash dropped or added, two that changed places."""
    new = list(proof)
    match draw(st.sampled_from(["add"] + ["flip", "drop"] * bool(proof) + ["swap"] * (len(proof) > 1))):
        case "add":
            known = st.sampled_from([*proof, *LEAVES[:LARGEST_DRAWN], merkle.EMPTY_ROOT, TREE.root(LARGEST_DRAWN)])
            new.insert(draw(st.integers(0, len(proof))), draw(known))
        case "flip":
            at = draw(st.integers(0, len(proof) - 1))
            new[at] = flipped(new[at], draw(BITS))
        case "drop":
            del new[draw(st.integers(0, len(proof) - 1))]
        case "swap":
            one, other = draw(st.lists(st.integers(0, len(proof) - 1), min_size=2, max_size=2, unique=True))
            new[one], new[other] = new[other], new[one]
    return new


def refused(claim: Included | Consistent) -> bool:
    """Say whether ours and theirs both refuse it."""
    return not claim.ours() and not claim.theirs()


@settings(max_examples=500)
@given(claim=THERE | GROWN, data=st.data())
def test_a_changed_proof_is_refused(claim: Included | Consistent, data: st.DataObject) -> None:
    assert claim.ours()
    assert claim.theirs()
    assert refused(replace(claim, proof=data.draw(changed(claim.proof))))


@settings(max_examples=300)
@given(claim=THERE, bit=BITS, number=SIZES)
def test_an_inclusion_proof_holds_for_its_leaf_index_and_tree_only(claim: Included, bit: int, number: int) -> None:
    assert refused(replace(claim, root=flipped(claim.root, bit)))
    assert refused(replace(claim, entry=flipped(claim.entry, bit % 16)))
    assert number == claim.index or refused(replace(claim, index=number))
    assert number == claim.index or refused(replace(claim, entry=ENTRIES[number]))
    assert number == claim.size or refused(replace(claim, root=TREE.root(number)))
    assert number == claim.size or refused(replace(claim, size=number, root=TREE.root(number)))


@settings(max_examples=300)
@given(claim=GROWN, bit=BITS, number=SIZES)
def test_a_consistency_proof_holds_for_its_two_trees_only(claim: Consistent, bit: int, number: int) -> None:
    assert refused(replace(claim, old_root=flipped(claim.old_root, bit)))
    assert refused(replace(claim, root=flipped(claim.root, bit)))
    assert number == claim.old or refused(replace(claim, old_root=TREE.root(number)))
    assert number == claim.old or refused(replace(claim, old=number, old_root=TREE.root(number)))
    assert number == claim.size or refused(replace(claim, root=TREE.root(number)))
    assert number == claim.size or refused(replace(claim, size=number, root=TREE.root(number)))


@given(claim=GROWN, past=st.sampled_from(["changed", "dropped", "moved to the end"]), data=st.data())
def test_a_tree_with_another_past_cannot_prove_that_it_only_grew(
    claim: Consistent, past: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, claim.old - 1))
    before, it, after = LEAVES[:at], LEAVES[at], LEAVES[at + 1 : claim.size + 1]
    instead, last = {"changed": ([merkle.EMPTY_ROOT], []), "dropped": ([], []), "moved to the end": ([], [it])}[past]
    other = Grown([*before, *instead, *after, *last])
    forged = merkle.consistency_proof(other, claim.old, claim.size)

    assert refused(replace(claim, proof=forged, root=other.root(claim.size)))


def test_a_size_without_its_own_root_is_taken_as_theirs_takes_it() -> None:
    """A root does not bind its size, only a signature over both does: for leaf 0, three leaves and four look alike."""
    assert replace(Included.of(0, 3), size=4).ours()
    assert replace(Consistent.of(3, 4), old=6, size=8).ours()
    few = range(1, 18)
    for size, number, other, another in product(few, few, few, few):
        if number < size:
            there, grown = replace(Included.of(number, size), size=other), Consistent.of(number, size)
            grown = replace(grown, old=another, size=other)

            assert there.ours() == there.theirs()
            assert grown.ours() == grown.theirs()


NUMBERS = st.integers(-5, 5) | st.integers(merkle.MAX_LEAVES - 3, merkle.MAX_LEAVES + 3) | st.integers()
HASHES = st.sampled_from([b"", LEAVES[0], LEAVES[0][1:], LEAVES[0] + b"\0", merkle.EMPTY_ROOT])


@settings(max_examples=500)
@given(proof=st.lists(HASHES | st.binary(max_size=40), max_size=70), one=HASHES, other=HASHES, old=NUMBERS, new=NUMBERS)
def test_nonsense_raises_nothing(proof: list[bytes], one: bytes, other: bytes, old: int, new: int) -> None:
    there = merkle.verify_inclusion(proof, leaf=one, index=old, size=new, root=other)
    grown = merkle.verify_consistency(proof, old=old, old_root=one, size=new, root=other)

    assert not there or (old, new, proof, one) == (0, 1, [], other)
    assert not grown or (proof == [] and old in {0, new})


@pytest.mark.parametrize(
    ("index", "size"), [(-1, 3), (3, 3), (4, 3), (0, 0), (0, -1), (-2, -1), (0, 2**63), (2, 2**64)]
)
def test_where_no_leaf_can_be_none_is_proved(index: int, size: int) -> None:
    for count in (0, 1, 2, 63, 64):
        proof, climbed = LEAVES[1 : count + 1], LEAVES[0]
        for sibling in proof:
            climbed = merkle.node_hash(climbed, sibling)

        assert not merkle.verify_inclusion(proof, leaf=LEAVES[0], index=index, size=size, root=climbed)


@pytest.mark.parametrize(("old", "size"), [(-1, 3), (4, 3), (-2, -1), (1, 0), (-1, -1), (2**63, 2**63), (1, 2**63)])
def test_no_tree_was_larger_than_it_is_or_than_one_can_be(old: int, size: int) -> None:
    for count in (0, 1, 2, 63, 64):
        proof, climbed = LEAVES[1 : count + 1], LEAVES[0]
        for sibling in proof:
            climbed = merkle.node_hash(climbed, sibling)

        assert not merkle.verify_consistency(proof, old=old, old_root=LEAVES[0], size=size, root=climbed)


@pytest.mark.parametrize("wrong", [b"", LEAVES[0][:31], LEAVES[0] + b"\0", "0" * 32])
def test_what_is_no_hash_is_refused_wherever_it_stands(wrong: Any) -> None:
    there, grown = Included.of(2, 5), Consistent.of(3, 5)
    for claim in (there, grown):
        for at in range(len(claim.proof)):
            assert not replace(claim, proof=[*claim.proof[:at], wrong, *claim.proof[at + 1 :]]).ours()

    assert not replace(there, root=wrong).ours()
    assert not replace(grown, root=wrong).ours()
    assert not replace(grown, old_root=wrong).ours()
    assert not replace(Consistent.of(4, 5), old_root=wrong).ours()
    assert not merkle.verify_inclusion(there.proof, leaf=wrong, index=2, size=5, root=there.root)
    assert not merkle.verify_inclusion([], leaf=wrong, index=0, size=1, root=wrong)
    assert not merkle.verify_consistency([], old=5, old_root=wrong, size=5, root=wrong)


def test_an_empty_tree_grows_into_any_and_has_one_root_only() -> None:
    grown, stayed = Consistent.of(0, 5), Consistent.of(0, 0)

    assert grown.ours()
    assert stayed.ours()
    assert not replace(grown, proof=LEAVES[:1]).ours()
    assert not replace(grown, old_root=LEAVES[0]).ours()
    assert not replace(stayed, root=LEAVES[0]).ours()
    assert not replace(stayed, old_root=LEAVES[0], root=LEAVES[0]).ours()


def test_a_tree_is_itself_without_a_proof() -> None:
    same = Consistent.of(5, 5)

    assert same.ours()
    assert refused(replace(same, proof=LEAVES[:1]))
    assert refused(replace(same, root=TREE.root(4)))
