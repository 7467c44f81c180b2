"""A receipt is valid or invalid, and the verdict says why: offline, without any part of the service."""

import base64
import hashlib
import json
import subprocess
import sys
from typing import Any

import pytest

from app.settings import DEMONSTRATION
from app.transparency.verify import receipt as receipts
from tests.architecture.source import ROOT
from tests.transparency.receipt_verification import GOOD, KEYS, OTHER_LOG, PAYLOAD, refused, verdict
from tests.transparency.signed_bundles import ORIGIN, Key, Log, Signer, consent, erasure, every_kind, key_set, right


@pytest.mark.parametrize("receipt", every_kind(), ids=lambda receipt: receipt.kind)
@pytest.mark.parametrize("proven", [True, False])
def test_a_receipt_of_every_kind_is_valid(signer: Signer, receipt: receipts.Receipt, *, proven: bool) -> None:
    found = verdict(signer.bundle(receipts.encode_receipt(receipt), proven=proven), signer.key_set(), signer.key.kid)

    assert (found.valid, found.kind, found.event_time) == (True, receipt.kind, "2026-11-26T08:30:15Z"), found.reason
    assert (found.kid, found.pinned, found.log) == (signer.key.kid, True, ORIGIN)
    assert (found.logged, found.logged_by) == ("proven" if proven else "promised", "2026-11-26T08:40:15Z")
    assert (found.controller, found.profile) == (DEMONSTRATION, "prototype")


def test_without_a_fingerprint_the_verdict_says_that_the_keys_were_trusted(signer: Signer) -> None:
    found = verdict(signer.bundle(PAYLOAD), signer.key_set())

    assert (found.valid, found.pinned) == (True, False)
    assert "trusted as it is" in found.reason


def test_a_leaf_in_every_place_of_a_tree_is_proven(signer: Signer) -> None:
    signer.log.leaves.clear()
    bundles = [signer.bundle(receipts.encode_receipt(right())) for _ in range(20)]
    latest = [{**bundle, "proof": signer.log.proof(bundle["leaf"])} for bundle in bundles]

    assert all(verdict(bundle, signer.key_set()).logged == "proven" for bundle in [*bundles, *latest])


def test_a_promise_of_another_key_or_leaf_is_refused(signer: Signer) -> None:
    bundle, second = signer.bundle(PAYLOAD), Signer(log=signer.log)
    keys = key_set(signer.key.published(), second.key.published(), signer.log.published())
    theirs = second.bundle(PAYLOAD, proven=False)["promise"]
    foreign = signer.bundle(receipts.encode_receipt(erasure()), proven=False)["promise"]
    odd: list[dict[str, Any]] = [
        {"origin": "elsewhere"},
        {"by": "soon"},
        {"by": "2026-11-31T00:00:00Z"},
        {"more": 1},
        {"log_key": None},
    ]

    assert refused(verdict({**bundle, "promise": theirs}, keys), "another key signed the promise")
    assert refused(verdict({**bundle, "promise": foreign}, keys), "another leaf")
    for change in odd:
        assert refused(verdict(signer.bundle(PAYLOAD, **change), keys), "promise is not one")


def test_a_proof_of_another_log_is_refused(signer: Signer) -> None:
    """The key file has the key of that log, and the log has the leaf, but the receipt promised another log."""
    bundle, other = signer.bundle(PAYLOAD), Log(origin=OTHER_LOG)
    other.leaves.append(bytes.fromhex(bundle["leaf"]))
    moved = {**bundle, "proof": other.proof(bundle["leaf"])}
    keys = key_set(signer.key.published(), signer.log.published(), other.published())

    assert refused(verdict(moved, keys), "none of the log")
    assert refused(verdict(signer.bundle(PAYLOAD, origin=OTHER_LOG), keys), "none of the log")


def test_a_checkpoint_of_another_key_is_refused(signer: Signer) -> None:
    """Even with the name of the log."""
    bundle, forger = signer.bundle(PAYLOAD), Log(leaves=list(signer.log.leaves))
    forged_proof = {**bundle, "proof": forger.proof(bundle["leaf"])}
    resigned = Log(key=signer.key, leaves=list(signer.log.leaves)).proof(bundle["leaf"])

    assert refused(verdict(forged_proof, signer.key_set()), "none of the log")
    assert refused(verdict({**bundle, "proof": resigned}, signer.key_set()), "none of the log")
    assert refused(verdict(bundle, key_set(signer.key.published())), "not in the key file")


def test_each_of_two_keys_of_a_log_is_accepted(signer: Signer) -> None:
    bundle, older = signer.bundle(PAYLOAD), Log()

    for keys in ([older.published(), signer.log.published()], [signer.log.published(), older.published()]):
        assert verdict(bundle, key_set(signer.key.published(), *keys)).valid


def test_the_key_of_another_log_is_refused(signer: Signer) -> None:
    """So is a checkpoint key without a log, and a key for receipts with one."""
    bundle, other = signer.bundle(PAYLOAD), Key()
    moved = {**bundle, "proof": Log(key=other, leaves=list(signer.log.leaves)).proof(bundle["leaf"])}
    foreign = key_set(signer.key.published(), other.published("checkpoints", mien_origin=OTHER_LOG))
    odd = [other.published("checkpoints"), other.published("receipts", mien_origin=ORIGIN)]

    assert refused(verdict(moved, foreign), "none of the log")
    for key in odd:
        assert refused(verdict(moved, key_set(signer.key.published(), key)), "mien_origin goes with")


def test_a_checkpoint_has_one_signature(signer: Signer) -> None:
    """The verifier could not check a cosignature, so that a changed one would pass."""
    bundle = signer.bundle(PAYLOAD)
    note = bundle["proof"]["checkpoint"]
    witnessed = note + Key().note("x\n", "witness.example").split("\n\n")[1]

    assert refused(verdict({**bundle, "proof": {**bundle["proof"], "checkpoint": witnessed}}, signer.key_set()), "one")


def test_a_signed_payload_that_is_no_receipt_is_refused(signer: Signer) -> None:
    found = json.loads(receipts.encode_receipt(consent()))

    for payload in (b"{}", b"[]", b"\xff", json.dumps({**found, "mood": "good"}).encode()):
        assert refused(verdict(signer.bundle(payload), signer.key_set()), "not a receipt that this version knows")


def test_a_payload_in_another_json_spelling_is_accepted(signer: Signer) -> None:
    """The signature covers the bytes of the payload, in any spelling of JSON."""
    found = json.loads(receipts.encode_receipt(consent()))

    assert verdict(signer.bundle(json.dumps(found, indent=2).encode()), signer.key_set()).valid


ALONE = """
import sys

ABSENT = {"sqlalchemy", "alembic", "fastapi", "starlette", "httpx", "uvicorn", "typer", "dlib", "numpy", "PIL"}
OURS = {"app.kit", "app.vault", "app.faces", "app.consent", "app.main", "app.cli"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT or name in OURS:
            raise ModuleNotFoundError(name)

def offline(event, _):
    if event.startswith("socket."):
        raise RuntimeError(event)

sys.meta_path.insert(0, Absent())
sys.addaudithook(offline)

from app.transparency.verify.service import verify_receipt

print(verify_receipt(sys.stdin.buffer.read(), jwks=bytes.fromhex(sys.argv[1])).reason)
"""


@pytest.mark.service
def test_the_verifier_works_without_the_service() -> None:
    """A process without database, HTTP, faces and network can verify."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, KEYS.hex()],
        input=json.dumps(GOOD),
        capture_output=True,
        cwd=ROOT,
        text=True,
        check=False,
    )

    assert "it is in the transparency log" in done.stdout, done.stderr


def test_the_leaf_is_the_hash_of_salt_and_payload() -> None:
    salt = base64.urlsafe_b64decode(GOOD["salt"] + "=")

    assert hashlib.sha256(b"\0" + salt + PAYLOAD).hexdigest() == GOOD["leaf"]
