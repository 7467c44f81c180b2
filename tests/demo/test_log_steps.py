"""The demo's own computation of proofs agrees with another implementation of the tree; receipts are searched for."""

import base64
from pathlib import Path
from typing import Any

import pytest

from app.demo.log_steps import compute_root, leads_to_root
from app.demo.receipt_wallet import decode_base64url, identifying_parts, open_wallet
from app.transparency.verify import receipt as receipts
from tests.transparency.signed_bundles import Signer, consent, path, tree

LEAVES = [bytes([number]) * 32 for number in range(21)]


def proof(index: int, size: int) -> dict[str, Any]:
    root = base64.b64encode(tree(LEAVES[:size])).decode()
    hashes = [sibling.hex() for sibling in path(index, LEAVES[:size])]
    return {"index": index, "size": size, "hashes": hashes, "checkpoint": f"mien/x\n{size}\n{root}\n\n— mien/x AA\n"}


@pytest.mark.parametrize("size", range(1, len(LEAVES) + 1))
def test_each_leaf_leads_to_the_root(size: int) -> None:
    for index in range(size):
        assert compute_root(LEAVES[index], proof(index, size)) == tree(LEAVES[:size])
        assert leads_to_root(LEAVES[index], proof(index, size))


def test_another_leaf_does_not_lead_to_the_root() -> None:
    assert not leads_to_root(LEAVES[3], proof(4, 21))


def test_identifying_parts_are_read_from_a_receipt() -> None:
    content = consent()
    bundle = Signer().bundle(receipts.encode_receipt(content))
    parts = identifying_parts(bundle)

    assert {name: parts[name] for name in ("receipt_id", "record_id", "pii_principal_id")} == {
        "receipt_id": content.receipt_id,
        "record_id": content.record_id,
        "pii_principal_id": content.pii_principal_id,
    }
    assert (len(decode_base64url(parts["salt"])), len(decode_base64url(parts["signature"]))) == (32, 64)


@pytest.mark.parametrize("keep", [True, False])
def test_wallet_is_removed_unless_it_is_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, keep: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_wallet(keep=keep) as wallet:
        wallet.store(Signer().bundle(receipts.encode_receipt(consent())), owner="Ada", kind="consent_given")

    assert [file.name for file in tmp_path.glob("*/*")] == (["01-consent-given.json"] if keep else [])
