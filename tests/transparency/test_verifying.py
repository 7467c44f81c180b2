"""A receipt holds, or it does not, and the verdict says why: offline, and with nothing of the service."""

import base64
import hashlib
import json
import subprocess
import sys
from typing import Any

import pytest

from app.transparency.verify import receipt as receipts
from tests.architecture.source import ROOT
from tests.transparency.signed_bundles import ORIGIN, Key, Log, Signer, consent, erasure, every_kind, key_set, right
from tests.transparency.verdicts import GOOD, KEYS, OTHER_LOG, PAYLOAD, refused, verdict


@pytest.mark.parametrize("receipt", every_kind(), ids=lambda one: one.kind)
@pytest.mark.parametrize("proven", [True, False])
def test_every_kind_holds(signer: Signer, receipt: receipts.Receipt, *, proven: bool) -> None:
    found = verdict(signer.bundle(receipts.encode_receipt(receipt), proven=proven), signer.key_set(), signer.key.kid)

    assert (found.valid, found.kind, found.event_time) == (True, receipt.kind, "2026-11-26T08:30:15Z"), found.reason
    assert (found.kid, found.pinned, found.log) == (signer.key.kid, True, ORIGIN)
    assert (found.logged, found.logged_by) == ("proven" if proven else "promised", "2026-11-26T08:40:15Z")
    assert (found.controller, found.profile) == ("Demonstration controller", "prototype")


def test_without_a_fingerprint_it_says_that_the_keys_were_believed(signer: Signer) -> None:
    found = verdict(signer.bundle(PAYLOAD), signer.key_set())

    assert (found.valid, found.pinned) == (True, False)
    assert "trusted as it is" in found.reason


def test_every_place_in_a_tree_is_proven(signer: Signer) -> None:
    signer.log.leaves.clear()
    bundles = [signer.bundle(receipts.encode_receipt(right())) for _ in range(20)]
    latest = [{**one, "proof": signer.log.proof(one["leaf"])} for one in bundles]

    assert all(verdict(one, signer.key_set()).logged == "proven" for one in [*bundles, *latest])


def test_a_promise_is_by_the_same_key_about_this_leaf(signer: Signer) -> None:
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


def test_a_proof_of_another_log_proves_nothing(signer: Signer) -> None:
    """Its key is in the key file, and it holds the leaf; but that log was not promised."""
    bundle, other = signer.bundle(PAYLOAD), Log(origin=OTHER_LOG)
    other.leaves.append(bytes.fromhex(bundle["leaf"]))
    moved = {**bundle, "proof": other.proof(bundle["leaf"])}
    keys = key_set(signer.key.published(), signer.log.published(), other.published())

    assert refused(verdict(moved, keys), "none of the log")
    assert refused(verdict(signer.bundle(PAYLOAD, origin=OTHER_LOG), keys), "none of the log")


def test_a_checkpoint_is_signed_by_the_key_of_the_log(signer: Signer) -> None:
    """Also if it has its name."""
    bundle, forger = signer.bundle(PAYLOAD), Log(leaves=list(signer.log.leaves))
    forged_proof = {**bundle, "proof": forger.proof(bundle["leaf"])}
    resigned = Log(key=signer.key, leaves=list(signer.log.leaves)).proof(bundle["leaf"])

    assert refused(verdict(forged_proof, signer.key_set()), "none of the log")
    assert refused(verdict({**bundle, "proof": resigned}, signer.key_set()), "none of the log")
    assert refused(verdict(bundle, key_set(signer.key.published())), "not in the key file")


def test_the_newer_of_two_keys_of_a_log_counts_too(signer: Signer) -> None:
    bundle, older = signer.bundle(PAYLOAD), Log()

    for keys in ([older.published(), signer.log.published()], [signer.log.published(), older.published()]):
        assert verdict(bundle, key_set(signer.key.published(), *keys)).valid


def test_the_key_of_another_log_signs_nothing_here(signer: Signer) -> None:
    """Nor does a key that is of no log, or a key for receipts that says it is of one."""
    bundle, other = signer.bundle(PAYLOAD), Key()
    moved = {**bundle, "proof": Log(key=other, leaves=list(signer.log.leaves)).proof(bundle["leaf"])}
    foreign = key_set(signer.key.published(), other.published("checkpoints", mien_origin=OTHER_LOG))
    odd = [other.published("checkpoints"), other.published("receipts", mien_origin=ORIGIN)]

    assert refused(verdict(moved, foreign), "none of the log")
    for key in odd:
        assert refused(verdict(moved, key_set(signer.key.published(), key)), "mien_origin goes with")


def test_a_checkpoint_has_one_signature(signer: Signer) -> None:
    """Another's could be changed, and nobody here would notice."""
    bundle = signer.bundle(PAYLOAD)
    note = bundle["proof"]["checkpoint"]
    witnessed = note + Key().note("x\n", "witness.example").split("\n\n")[1]

    assert refused(verdict({**bundle, "proof": {**bundle["proof"], "checkpoint": witnessed}}, signer.key_set()), "one")


def test_what_was_signed_but_is_no_receipt_does_not_hold(signer: Signer) -> None:
    found = json.loads(receipts.encode_receipt(consent()))

    for payload in (b"{}", b"[]", b"\xff", json.dumps({**found, "mood": "good"}).encode()):
        assert refused(verdict(signer.bundle(payload), signer.key_set()), "not a receipt that this version knows")


def test_a_receipt_that_is_spelled_in_another_way_holds(signer: Signer) -> None:
    """What was signed counts; nobody has to write JSON as we do."""
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
def test_it_needs_nothing_of_the_service() -> None:
    """In a process without database, HTTP, faces and network it verifies all the same."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, KEYS.hex()],
        input=json.dumps(GOOD),
        capture_output=True,
        cwd=ROOT,
        text=True,
        check=False,
    )

    assert "it is in the transparency log" in done.stdout, done.stderr


def test_a_bundle_made_by_hand_is_what_the_log_hashes() -> None:
    salt = base64.urlsafe_b64decode(GOOD["salt"] + "=")

    assert hashlib.sha256(b"\0" + salt + PAYLOAD).hexdigest() == GOOD["leaf"]
