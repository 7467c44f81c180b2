"""The tree agrees with another implementation, and with published test vectors."""

import pytest
import scitt_cose.merkle as other_implementation

from app.transparency.verify import merkle
from tests.transparency.trees import (
    HEX,
    LEAVES,
    TREE,
    ConsistencyClaim,
    CountingTree,
    InclusionClaim,
    MemoryTree,
    UniformTree,
    in_hex,
)

SMALL_SIZES = 70
LARGE_SIZES = (1000, 1023, 1024, 1025, 2047, 3000, 4095, 4096, 4097, 5001)


def test_roots_agree() -> None:
    for size in (*range(SMALL_SIZES + 1), *LARGE_SIZES):
        assert TREE.root(size).hex() == other_implementation.merkle_root(HEX[:size]), size


def assert_same_inclusion(index: int, size: int) -> None:
    """Check that both implementations make the same proof, and that both accept it."""
    claim = InclusionClaim.true_for(index, size)

    assert in_hex(claim.proof) == other_implementation.inclusion_proof(HEX[:size], index)
    assert claim.holds()
    assert claim.holds_elsewhere()


def assert_same_consistency(old: int, size: int) -> None:
    claim = ConsistencyClaim.true_for(old, size)

    assert in_hex(claim.proof) == other_implementation.consistency_proof(HEX, old, size)
    assert claim.holds()
    assert claim.holds_elsewhere()


def test_inclusion_proofs_of_all_leaves_of_small_trees_agree() -> None:
    for size in range(SMALL_SIZES + 1):
        for index in range(size):
            assert_same_inclusion(index, size)


def test_consistency_proofs_of_all_sizes_of_small_trees_agree() -> None:
    for size in range(SMALL_SIZES + 1):
        for old in range(size + 1):
            assert_same_consistency(old, size)


@pytest.mark.parametrize("size", LARGE_SIZES)
def test_proofs_of_some_leaves_and_sizes_of_large_trees_agree(size: int) -> None:
    for number in {0, 1, size // 3, size // 2, size - 2, size - 1, 511, 512, 513}:
        assert_same_inclusion(number, size)
        assert_same_consistency(number, size)


CT_ENTRIES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
"""The test vectors of Certificate Transparency: leaves, roots by size, and proofs."""
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}
CT_CONSISTENCY: dict[tuple[int, int], list[str]] = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CT_TREE = MemoryTree([merkle.leaf_hash(bytes.fromhex(entry)) for entry in CT_ENTRIES])


def test_roots_and_proofs_of_certificate_transparency() -> None:
    assert [CT_TREE.root(size).hex() for size in range(len(CT_ROOTS))] == CT_ROOTS
    assert {at: in_hex(merkle.inclusion_proof(CT_TREE, *at)) for at in CT_INCLUSION} == CT_INCLUSION
    assert {of: in_hex(merkle.consistency_proof(CT_TREE, *of)) for of in CT_CONSISTENCY} == CT_CONSISTENCY


def test_the_example_of_rfc_6962() -> None:
    """Section 2.1.3, with the names used there."""
    a, b, c, d, e, f, j = LEAVES[:7]
    g, h, i = merkle.node_hash(a, b), merkle.node_hash(c, d), merkle.node_hash(e, f)
    k, l = merkle.node_hash(g, h), merkle.node_hash(i, j)  # noqa: E741

    assert TREE.root(7) == merkle.node_hash(k, l)
    assert [InclusionClaim.true_for(at, 7).proof for at in (0, 3, 4, 6)] == [[b, h, l], [c, g, l], [f, j, k], [i, k]]
    assert [ConsistencyClaim.true_for(old, 7).proof for old in (3, 4, 6)] == [[c, d, g, l], [l], [i, j, k]]


def test_a_leaf_is_hashed_differently_from_a_node_and_from_an_empty_tree() -> None:
    left, right = LEAVES[:2]

    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
    assert merkle.leaf_hash(b"") != merkle.EMPTY_ROOT


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_missing_leaf_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        merkle.inclusion_proof(TREE, index, size)


@pytest.mark.parametrize(("old", "size"), [(-1, 3), (4, 3)])
def test_a_larger_or_negative_earlier_size_has_no_proof(old: int, size: int) -> None:
    with pytest.raises(ValueError, match="no such earlier tree"):
        merkle.consistency_proof(TREE, old, size)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 127, 128, 129, 10**6, 2**20 - 1, 10**12 + 1, merkle.MAX_LEAVES])
def test_a_root_and_a_proof_read_few_nodes(size: int) -> None:
    """At most one node for each binary digit of the size for a root, and two for a proof."""
    digits, nodes, whole = size.bit_length(), UniformTree(), CountingTree(UniformTree(), size)
    root = merkle.root(whole, size)
    assert len(whole.read) <= digits
    for number in {0, min(1, size - 1), size // 3, size // 2, max(0, size - 2), size - 1}:
        for_inclusion, for_growth = CountingTree(nodes, size), CountingTree(nodes, size)
        proof = merkle.inclusion_proof(for_inclusion, number, size)
        growth = merkle.consistency_proof(for_growth, number, size)

        assert max(len(for_inclusion.read), len(for_growth.read)) <= 2 * digits
        assert merkle.verify_inclusion(proof, leaf=nodes.node(0, 0), index=number, size=size, root=root)
        before = merkle.root(nodes, number)
        assert merkle.verify_consistency(growth, old=number, old_root=before, size=size, root=root)
