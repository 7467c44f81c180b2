"""The transparency log, checked from outside: a key fingerprint, a witness, proofs, and a leaf computed by hand."""

import hashlib
import json
import time
from base64 import b64decode
from typing import Any

from app.demo.command_line import mien
from app.demo.narrator import StepFailedError, short, shown
from app.demo.receipt_wallet import unpadded
from app.demo.scene import Scene

JOINED_S = 60.0
"""Seconds until a leaf must be in the log; it was promised within two intervals."""


def fingerprint_is_noted(scene: Scene) -> None:
    """Take the fingerprint of the key from the operator: from elsewhere than the key file."""
    scene.teller.step("The operator says which key signs receipts. Ada and Ben note its fingerprint.")
    scene.teller.sent("mien keys list")
    listed = scene.stage.command("keys", "list")
    in_force = [key["kid"] for key in listed["keys"] if key["signs"] == "receipts" and not key["retired_at"]]
    held = scene.holder
    held.fingerprint, held.vkey = in_force[0], listed["vkey"]
    scene.teller.check(held.fingerprint, held=len(in_force) == 1, came=str(in_force))


def a_witness_begins(scene: Scene) -> None:
    """Let a witness keep an early checkpoint, one that has Ada's consent."""
    scene.teller.step(
        "Each act adds 32 bytes to a public transparency log; they reveal no personal data. A witness starts."
    )
    leaf = scene.holder.receipts[0].leaf
    proof = proof_of(scene, leaf)
    scene.teller.check(f"Ada's consent is one of {proof['size']} lines", held=leads(bytes.fromhex(leaf), proof))
    kept = _look(scene)
    scene.teller.check(
        f"the witness keeps the checkpoint of {kept.get('size')} lines from now on",
        held=kept.get("holds") is True and kept["size"] >= proof["size"],
        came=str(kept),
    )


def the_witness_looks_again(scene: Scene) -> None:
    """Hold the log of now to the checkpoint that was kept."""
    scene.teller.step("The witness looks again. Ada and Ben were erased: is the log still the one it was?")
    kept = _look(scene)
    scene.teller.check(
        f"its {kept.get('size')} lines begin with the {kept.get('held_against')} that the witness had kept",
        held=kept.get("holds") is True and 0 < (kept.get("held_against") or 0) < kept["size"],
        came=str(kept),
    )


def _look(scene: Scene) -> dict[str, Any]:
    arguments = (scene.stage.url, "--vkey", scene.holder.vkey)
    scene.teller.sent(f"mien witness {scene.stage.url} --vkey {short(scene.holder.vkey)}")
    done = mien("witness", *arguments, "--state", str(scene.holder.witness))
    return done.printed or {"reason": done.trouble}


def proofs_are_fetched(scene: Scene) -> None:
    """Put its proof beside each receipt, without any account, and keep the key file."""
    scene.teller.step("Ada and Ben have no account any more. The proofs of what they keep are there for anybody.")
    scene.teller.sent(f"GET /v1/log/proof?leaf=… for each of {len(scene.holder.receipts)} receipts")
    proofs = [(kept, proof_of(scene, kept.leaf)) for kept in scene.holder.receipts]
    for kept, proof in proofs:
        scene.holder.add_proof(kept, proof)
    held = all(leads(bytes.fromhex(kept.leaf), proof) for kept, proof in proofs)
    scene.teller.check("each is in the log, as it was promised", held=held)
    answer = scene.ada.caller.call("GET", "/.well-known/jwks.json")
    scene.holder.keys.write_bytes(answer.content)
    named = scene.holder.fingerprint in {key["kid"] for key in answer.json()["keys"]}
    scene.teller.check("the key file has the key that was noted", held=named)


def a_use_is_in_the_log(scene: Scene) -> None:
    """Work out the leaf of one comparison from what Ada was given, and climb from it to the root."""
    scene.teller.step("Ada still has the record and the salt of one use of her face. Is it in the log?")
    record, salt = scene.use["record"], scene.use["salt"]
    scene.teller.sent(f"{shown(record)}, salt {short(salt)}")
    text = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    leaf = hashlib.sha256(b"\0" + unpadded(salt) + text.encode()).digest()
    proof = proof_of(scene, leaf.hex())
    claim = f"SHA-256 of both is line {proof['index']}, and leads to the root of {proof['size']}"
    scene.teller.check(claim, held=leads(leaf, proof))
    scene.teller.note("The service has neither any more: to everybody else this line is a number that means nothing.")


def proof_of(scene: Scene, leaf: str) -> dict[str, Any]:
    """Ask for the proof of a leaf until its batch has come."""
    began = time.monotonic()
    while time.monotonic() - began < JOINED_S:
        answer = scene.ada.caller.http.get("/v1/log/proof", params={"leaf": leaf})
        if answer.is_success:
            proof: dict[str, Any] = answer.json()
            return proof
        time.sleep(0.1)
    raise StepFailedError("the leaf joins the log, as was promised", f"not after {JOINED_S:.0f} seconds")


def leads(leaf: bytes, proof: dict[str, Any]) -> bool:
    """Say whether a proof leads from a leaf to the root that its checkpoint names."""
    return climb(leaf, proof) == b64decode(proof["checkpoint"].split("\n")[2])


def climb(leaf: bytes, proof: dict[str, Any]) -> bytes:
    """Return the root that a leaf and its proof lead to (RFC 9162, 2.1.3.2)."""
    at, last, climbed = proof["index"], proof["size"] - 1, leaf
    for one in map(bytes.fromhex, proof["hashes"]):
        if right := at & 1 or at == last:
            climbed = hashlib.sha256(b"\1" + one + climbed).digest()
        else:
            climbed = hashlib.sha256(b"\1" + climbed + one).digest()
        while right and at and not at & 1:
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    return climbed
