"""What the demo works out by hand about the log is what a tree made otherwise has."""

import base64
from pathlib import Path
from typing import Any

import pytest

from app.demo.log_act import climb, leads
from app.demo.receipt_wallet import Holder, telling_parts, unpadded
from app.transparency.verify import receipt as receipts
from tests.transparency.signed_bundles import Signer, consent, path, tree

LEAVES = [bytes([number]) * 32 for number in range(21)]


def proof(index: int, size: int) -> dict[str, Any]:
    root = base64.b64encode(tree(LEAVES[:size])).decode()
    hashes = [one.hex() for one in path(index, LEAVES[:size])]
    return {"index": index, "size": size, "hashes": hashes, "checkpoint": f"mien/x\n{size}\n{root}\n\n— mien/x AA\n"}


@pytest.mark.parametrize("size", range(1, len(LEAVES) + 1))
def test_each_leaf_leads_to_the_root(size: int) -> None:
    for index in range(size):
        assert climb(LEAVES[index], proof(index, size)) == tree(LEAVES[:size])
        assert leads(LEAVES[index], proof(index, size))


def test_another_leaf_does_not() -> None:
    assert not leads(LEAVES[3], proof(4, 21))


def test_what_tells_a_receipt_is_found_in_it() -> None:
    said = consent()
    bundle = Signer().bundle(receipts.encode_receipt(said))
    parts = telling_parts(bundle)

    assert {name: parts[name] for name in ("receipt_id", "record_id", "pii_principal_id")} == {
        "receipt_id": said.receipt_id,
        "record_id": said.record_id,
        "pii_principal_id": said.pii_principal_id,
    }
    assert (len(unpadded(parts["salt"])), len(unpadded(parts["signature"]))) == (32, 64)


@pytest.mark.parametrize("keep", [True, False])
def test_what_people_hold_is_removed_unless_it_is_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, keep: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Holder(keep=keep) as holder:
        holder.keep(Signer().bundle(receipts.encode_receipt(consent())), owner="Ada", kind="consent_given")

    assert [one.name for one in tmp_path.glob("*/*")] == (["01-consent-given.json"] if keep else [])
