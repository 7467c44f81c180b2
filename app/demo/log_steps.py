"""Steps about the transparency log, checked from outside: a fingerprint, a witness, proofs, a leaf by hand."""

import hashlib
import json
import time
from base64 import b64decode
from typing import Any

from app.demo.command_line import run_mien
from app.demo.narrator import StepFailedError, one_line, shorten
from app.demo.receipt_wallet import decode_base64url
from app.demo.state import DemoState

APPENDED_S = 60.0
"""Seconds until a leaf must be in the transparency log; the service promises two intervals."""


def note_fingerprint(demo: DemoState) -> None:
    """The operator states which key signs receipts. Ada and Ben note its fingerprint."""
    demo.narrator.request("mien keys list")
    listed = demo.service.command("keys", "list")
    in_force = [key["kid"] for key in listed["keys"] if key["signs"] == "receipts" and not key["retired_at"]]
    demo.wallet.fingerprint, demo.wallet.vkey = in_force[0], listed["vkey"]
    demo.narrator.check(in_force[0], passed=len(in_force) == 1, result=str(in_force))


def start_witness(demo: DemoState) -> None:
    """Each act adds 32 bytes to a public transparency log; they reveal no personal data. A witness starts."""
    leaf = demo.wallet.receipts[0].leaf
    proof = fetch_proof(demo, leaf)
    claim = f"Ada's consent is one of {proof['size']} leaves"
    demo.narrator.check(claim, passed=leads_to_root(bytes.fromhex(leaf), proof))
    checked = _run_witness(demo)
    demo.narrator.check(
        f"the witness keeps the checkpoint of {checked.get('size')} leaves",
        passed=checked.get("holds") is True and checked["size"] >= proof["size"],
        result=str(checked),
    )


def run_witness_again(demo: DemoState) -> None:
    """The witness checks again. Ada and Ben were erased: is it still the same transparency log?"""
    checked = _run_witness(demo)
    demo.narrator.check(
        f"its {checked.get('size')} leaves begin with the {checked.get('held_against')} that the witness knew",
        passed=checked.get("holds") is True and 0 < (checked.get("held_against") or 0) < checked["size"],
        result=str(checked),
    )


def _run_witness(demo: DemoState) -> dict[str, Any]:
    url, vkey = demo.service.url, demo.wallet.vkey
    demo.narrator.request(f"mien witness {url} --vkey {shorten(vkey)}")
    done = run_mien("witness", url, "--vkey", vkey, "--state", str(demo.wallet.witness))
    return done.output or {"reason": done.error}


def fetch_proofs(demo: DemoState) -> None:
    """Ada and Ben have no account any more. The proofs for their receipts are public."""
    demo.narrator.request(f"GET /v1/log/proof?leaf=… for each of {len(demo.wallet.receipts)} receipts")
    proofs = [(receipt, fetch_proof(demo, receipt.leaf)) for receipt in demo.wallet.receipts]
    for receipt, proof in proofs:
        receipt.add_proof(proof)
    logged = all(leads_to_root(bytes.fromhex(receipt.leaf), proof) for receipt, proof in proofs)
    demo.narrator.check("each is in the transparency log, as promised", passed=logged)
    answer = demo.ada.client.call("GET", "/.well-known/jwks.json")
    demo.wallet.keys.write_bytes(answer.content)
    known = demo.wallet.fingerprint in {key["kid"] for key in answer.json()["keys"]}
    demo.narrator.check("the key file has the key that they noted", passed=known)


def find_use_in_log(demo: DemoState) -> None:
    """Ada still has the record and the salt of one use of her face. Is it in the transparency log?"""
    record, salt = demo.ada_use["record"], demo.ada_use["salt"]
    demo.narrator.request(f"{one_line(record)}, salt {shorten(salt)}")
    text = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    leaf = hashlib.sha256(b"\0" + decode_base64url(salt) + text.encode()).digest()
    proof = fetch_proof(demo, leaf.hex())
    claim = f"the SHA-256 of both is leaf {proof['index']}, and leads to the root of {proof['size']}"
    demo.narrator.check(claim, passed=leads_to_root(leaf, proof))
    demo.narrator.note("The service has neither any more. For everyone else this leaf is a meaningless number.")


def fetch_proof(demo: DemoState, leaf: str) -> dict[str, Any]:
    """Return the proof of a leaf; wait until its batch is in the transparency log."""
    deadline = time.monotonic() + APPENDED_S
    while time.monotonic() < deadline:
        answer = demo.ada.client.http.get("/v1/log/proof", params={"leaf": leaf})
        if answer.is_success:
            proof: dict[str, Any] = answer.json()
            return proof
        time.sleep(0.1)
    raise StepFailedError("the leaf joins the transparency log, as promised", f"not after {APPENDED_S:.0f} seconds")


def leads_to_root(leaf: bytes, proof: dict[str, Any]) -> bool:
    """Return whether a proof leads from a leaf to the root in its checkpoint."""
    return compute_root(leaf, proof) == b64decode(proof["checkpoint"].split("\n")[2])


def compute_root(leaf: bytes, proof: dict[str, Any]) -> bytes:
    """Return the root to which a leaf and its proof lead (RFC 9162, 2.1.3.2)."""
    index, last, root = proof["index"], proof["size"] - 1, leaf
    for sibling in map(bytes.fromhex, proof["hashes"]):
        if is_right := index & 1 or index == last:
            root = hashlib.sha256(b"\1" + sibling + root).digest()
        else:
            root = hashlib.sha256(b"\1" + root + sibling).digest()
        while is_right and index and not index & 1:
            index, last = index >> 1, last >> 1
        index, last = index >> 1, last >> 1
    return root
