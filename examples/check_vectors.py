"""Check Mien's test vectors with none of Mien's code: `python3 check_vectors.py docs/reference/vectors`.

Needs Python and `cryptography`. Prints one line for each vector; exits with 1 if one has another result than it states.
Take this as a start for a verifier in your own language. `mien verify-receipt` is stricter about spelling.
"""

import base64
import hashlib
import json
import struct
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NOT_VALID = (InvalidSignature, InvalidTag, ValueError, LookupError)


def decode(text: str) -> bytes:
    """Decode base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sha256(*parts: bytes) -> bytes:
    """Return the SHA-256 of all parts together."""
    return hashlib.sha256(b"".join(parts)).digest()


def require(holds: object, reason: str) -> None:
    """Raise if a condition does not hold."""
    if not holds:
        raise ValueError(reason)


def open_token(token: str, key: dict[str, str], kind: str) -> bytes:
    """Check a JWS (RFC 7515) with EdDSA, and return its payload."""
    head, body, signature = token.split(".")
    require(json.loads(decode(head)) == {"alg": "EdDSA", "kid": key["kid"], "typ": kind}, "another kind of token")
    Ed25519PublicKey.from_public_bytes(decode(key["x"])).verify(decode(signature), f"{head}.{body}".encode())
    return decode(body)


def check_thumbprint(key: dict[str, str]) -> None:
    """Check that a key's id is its thumbprint (RFC 7638)."""
    named = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": key["x"]}, separators=(",", ":"))
    require(decode(key["kid"]) == sha256(named.encode()), "the key id is not the thumbprint")


def check_proof(proof: dict[str, Any], leaf: bytes, log_key: dict[str, str]) -> None:
    """Check the checkpoint's signature (C2SP signed-note), and the path to its root (RFC 9162, 2.1.3.2)."""
    text, _, signed = proof["checkpoint"].partition("\n\n")
    # A dash, the name of the log, and the signature behind four bytes that name the key.
    signature = base64.b64decode(signed.split()[2])[4:]
    Ed25519PublicKey.from_public_bytes(decode(log_key["x"])).verify(signature, f"{text}\n".encode())
    origin, size, root = text.split("\n")[:3]
    require(origin == log_key["mien_origin"], "the checkpoint is of another log")
    at, last, climbed = proof["index"], int(size) - 1, leaf
    require(0 <= at <= last, "the log is shorter")
    for one in map(bytes.fromhex, proof["hashes"]):
        require(last > 0, "the path is too long")
        right = at & 1 or at == last
        climbed = sha256(b"\x01", one, climbed) if right else sha256(b"\x01", climbed, one)
        while right and at and not at & 1:
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    require(last == 0 and climbed == base64.b64decode(root), "the leaf is not in the log")


def check_receipt(receipt: dict[str, Any], jwks: dict[str, Any], fingerprint: str) -> None:
    """Check a receipt by a key whose fingerprint is known from elsewhere."""
    keys = {key["kid"]: key for key in jwks["keys"]}
    for key in keys.values():
        check_thumbprint(key)
    key = keys[fingerprint]
    require(key["mien_signs"] == "receipts", "the key is not for receipts")
    record = open_token(receipt["jws"], key, "mien-receipt+jws")
    leaf = sha256(b"\x00", decode(receipt["salt"]), record)
    require(leaf.hex() == receipt["leaf"], "salt and receipt give another leaf")
    promise = json.loads(open_token(receipt["promise"], key, "mien-promise+jws"))
    require(promise["leaf"] == receipt["leaf"], "another leaf was promised")
    if "proof" in receipt:
        log_key = keys[promise["log_key"]]
        require(promise["origin"] == log_key["mien_origin"], "another log was promised")
        check_proof(receipt["proof"], leaf, log_key)


def open_seal(key: bytes, sealed: bytes, context: str) -> bytes:
    """Open AES-256-GCM: 12 bytes of nonce, the ciphertext, 16 bytes of tag; the context is authenticated."""
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], context.encode())


def read_template(raw: bytes) -> tuple[str, list[float]]:
    """Return a template's label and numbers. A multiple of 8 bytes has 64-bit numbers, of an older version."""
    label, content = raw[:32].hex(), raw[32:]
    if len(content) % 8 == 0:
        return label, list(struct.unpack(f"<{len(content) // 8}d", content))
    version, dimensions, scale = struct.unpack_from("<BHf", content)
    require(version == 1, "a newer version")
    require(len(content) == 7 + -(-dimensions // 8) * 8, "another length")
    return label, [scale * one for one in struct.unpack_from(f"<{dimensions}b", content, 7)]


def make_template(label: str, numbers: list[float]) -> bytes:
    """Encode numbers as a template: 8-bit integers with one scale, filled with zeros to a multiple of 8."""
    largest = min(max(max(map(abs, numbers)) / 127, 2.0**-126), (2 - 2.0**-23) * 2.0**127)
    (scale,) = struct.unpack("<f", struct.pack("<f", largest))
    integers = [max(-127, min(127, round(one / scale))) for one in numbers]
    header = struct.pack("<BHf", 1, len(numbers), scale)
    return bytes.fromhex(label) + header + struct.pack(f"<{len(integers)}b", *integers) + bytes(-len(integers) % 8)


def check_template(case: dict[str, Any], label: str) -> None:
    """Read a template, and make it from its input."""
    raw = bytes.fromhex(case["template"])
    require(read_template(raw) == (label, case["vector"]), "other numbers")
    require("input" not in case or make_template(label, case["input"]) == raw, "other bytes")


def check_seal(case: dict[str, str], key: bytes, template: dict[str, Any]) -> None:
    """Open a sealed template, and compare its label and its numbers."""
    plain = open_seal(key, bytes.fromhex(case["sealed"]), case["context"])
    require(read_template(plain) == (template["weights_sha256"], template["vector"]), "another label or other numbers")


def unwrap(seals: dict[str, Any]) -> bytes:
    """Return the key that the key-encryption key wraps, after a check of the derived names."""
    kek, wrapped = bytes.fromhex(seals["kek"]), seals["wrapped_key"]
    owner = sha256(f"owner:{wrapped['owner_kind']}:{wrapped['owner_id']}".encode()).hex()
    require(sha256(b"mien kek", kek).hex()[:16] == seals["kek_id"], "another id of the key-encryption key")
    require(owner == wrapped["owner"], "another owner")
    require(f"key:{owner}:{wrapped['generation']}" == wrapped["context"], "another context")
    return open_seal(kek, bytes.fromhex(wrapped["wrapped"]), wrapped["context"])


def holds(check: Callable[[], object]) -> bool:
    """Return whether a check passes."""
    try:
        check()
    except NOT_VALID:
        return False
    return True


def main(folder: Path) -> int:
    """Check every vector; returns the number of those with another result than they state."""
    receipts = json.loads((folder / "receipts.json").read_text("utf-8"))
    seals = json.loads((folder / "seals.json").read_text("utf-8"))
    templates = json.loads((folder / "templates.json").read_text("utf-8"))
    key, trusted = unwrap(seals), (receipts["jwks"], receipts["fingerprint"])
    found = [
        (case["name"], case["valid"], holds(partial(check_receipt, case["receipt"], *trusted)))
        for case in receipts["cases"]
    ]
    found += [
        (case["name"], case["opens"], holds(partial(check_seal, case, key, seals["template"])))
        for case in seals["cases"]
    ]
    found += [
        (case["name"], case["reads"], holds(partial(check_template, case, templates["weights_sha256"])))
        for case in templates["cases"]
    ]
    for name, stated, result in found:
        print("as stated" if stated == result else "DIFFERENT", f"{'valid' if result else 'not valid':9}", name)
    return sum(stated != result for _, stated, result in found)


if __name__ == "__main__":
    sys.exit(bool(main(Path(sys.argv[1]))))
