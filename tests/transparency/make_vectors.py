"""Make docs/reference/vectors from fixed keys: `python -m tests.transparency.make_vectors`.

The signatures, trees and seals are made from their specifications, not by the program (`signed_bundles.py`). Only the
content of the receipt is the program's.
"""

import base64
import copy
import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.transparency.verify.receipt import encode_receipt
from tests.architecture.source import ROOT
from tests.transparency.signed_bundles import Key, Log, Signer, compact, consent, erasure, right

FOLDER = ROOT / "docs" / "reference" / "vectors"
GRANT = "0b0f6f0e-6f5c-4a39-9d3d-0c8d1f0a7e11"
BY = "2026-11-26T08:40:15Z"
TEMPLATE = "7d0e9a55-8d0c-4a2c-9a4e-2c1b8f4e7a60"
Bundle = dict[str, Any]


def fixed_key(number: int) -> Key:
    """Return a signing key whose private bytes are all the same."""
    return Key(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


def flip(text: str, at: int = 10) -> str:
    """Return a text with another letter at one place."""
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def resigned(bundle: Bundle, by: Key) -> str:
    """Return the receipt's token, signed by another key."""
    payload = bundle["jws"].split(".")[1]
    return by.jws(_bytes(payload), "mien-receipt+jws")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def broken(signer: Signer, good: Bundle) -> Iterator[tuple[str, Bundle]]:
    """Yield receipts that are not valid, each with the change to *good*."""
    other = fixed_key(9)
    promise = {
        "origin": signer.log.origin,
        "leaf": "0" * 64,
        "log_key": signer.log.key.kid,
        "by": "2026-11-26T08:40:15Z",
    }

    def changed(change: Callable[[Bundle], object]) -> Bundle:
        bundle = copy.deepcopy(good)
        change(bundle)
        return bundle

    signature = good["jws"].rpartition(".")
    yield "signature changed", changed(lambda b: b.update(jws=f"{signature[0]}.{flip(signature[2])}"))
    yield "signed by an unknown key", changed(lambda b: b.update(jws=resigned(good, other)))
    yield "salt changed", changed(lambda b: b.update(salt=flip(good["salt"])))
    yield "leaf changed", changed(lambda b: b.update(leaf="0" * 64))
    yield (
        "promise of another leaf",
        changed(
            lambda b: b.update(
                promise=signer.key.jws(compact({**promise, "by": "2026-11-26T08:40:15Z"}), "mien-promise+jws")
            )
        ),
    )
    yield "index changed", changed(lambda b: b["proof"].update(index=b["proof"]["index"] - 1))
    yield "hash changed", changed(lambda b: b["proof"]["hashes"].__setitem__(0, "0" * 64))
    yield "hash missing", changed(lambda b: b["proof"]["hashes"].pop())
    yield (
        "checkpoint of another log",
        changed(lambda b: b["proof"].update(checkpoint=Log(key=other, leaves=signer.log.leaves).checkpoint())),
    )


def receipts() -> dict[str, Any]:
    """Return the vectors of receipts."""
    signer = Signer(key=fixed_key(1), log=Log(key=fixed_key(2)))
    good = [
        ("consent, in the log", signer.bundle(encode_receipt(consent()))),
        ("restriction, in the log", signer.bundle(encode_receipt(right("restriction")))),
        ("erasure, not yet in the log", signer.bundle(encode_receipt(erasure()), proven=False)),
    ]
    cases = [{"name": name, "valid": True, "receipt": bundle} for name, bundle in good]
    cases += [{"name": name, "valid": False, "receipt": bundle} for name, bundle in broken(signer, good[1][1])]
    return {"jwks": json.loads(signer.key_set()), "fingerprint": signer.key.kid, "cases": cases}


def seal(key: bytes, plaintext: bytes, context: str) -> bytes:
    """Seal with a nonce from the context, so that the vectors are the same each time."""
    nonce = hashlib.sha256(context.encode()).digest()[:12]
    return nonce + AESGCM(key).encrypt(nonce, plaintext, context.encode())


def seals() -> dict[str, Any]:
    """Return the vectors of seals: a wrapped key, and a template sealed under it."""
    kek, key = bytes(range(32)), bytes(range(32, 64))
    owner = hashlib.sha256(f"owner:grant:{GRANT}".encode()).hexdigest()
    wrapping = f"key:{owner}:1"
    wrapped = {"owner_kind": "grant", "owner_id": GRANT, "generation": 1, "owner": owner, "context": wrapping}
    context = f"templates.sealed:{TEMPLATE}"
    weights, vector = hashlib.sha256(b"weights").digest(), [number / 128 for number in range(128)]
    sealed = seal(key, weights + struct.pack("<128d", *vector), context).hex()
    cases = [
        ("template", True, context, sealed),
        ("another row", False, context[:-1] + "1", sealed),
        ("another column", False, context.replace("templates", "photos"), sealed),
        ("last byte changed", False, context, flip(sealed, len(sealed) - 1)),
        ("tag missing", False, context, sealed[:-32]),
    ]
    return {
        "kek": kek.hex(),
        "kek_id": hashlib.sha256(b"mien kek" + kek).hexdigest()[:16],
        "wrapped_key": {**wrapped, "wrapped": seal(kek, key, wrapping).hex()},
        "template": {"weights_sha256": weights.hex(), "vector": vector},
        "cases": [dict(zip(("name", "opens", "context", "sealed"), case, strict=True)) for case in cases],
    }


def templates() -> dict[str, Any]:
    """Return the vectors of templates: numbers, the bytes that they become, and the numbers that the bytes mean."""
    label = hashlib.sha256(b"weights").digest()
    wave = [round(math.sin(number) / 8, 6) for number in range(128)]
    inputs = {
        "one number": [0.5],
        "largest number negative": [-1.27, 0.64, 0.0],
        "halves are rounded to even": [127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5],
        "128 numbers": wave,
        "1/127 is rounded to 32 bits": [1.0, 0.1, -0.1],
        "smaller than the smallest scale": [2.0**-126, -(2.0**-130)],
        "larger than the largest scale": [1e300, -1e300, 1.0],
    }
    cases = [_template_case(name, label, numbers) for name, numbers in inputs.items()]
    older = label + struct.pack("<128d", *wave)
    found = [*cases, {"name": "64-bit numbers (version 0.2.0)", "reads": True, "template": older.hex(), "vector": wave}]
    newer = bytearray.fromhex(cases[3]["template"])
    newer[32] = 2
    changes = [("a newer version", bytes(newer)), ("more dimensions than numbers", _longer(cases[3]["template"]))]
    found += [{"name": name, "reads": False, "template": raw.hex(), "vector": wave} for name, raw in changes]
    return {"weights_sha256": label.hex(), "cases": found}


def _template_case(name: str, label: bytes, numbers: list[float]) -> dict[str, Any]:
    """Encode *numbers* by the published rule, in exact fractions up to the scale."""
    limits = Fraction(2) ** -126, (2 - Fraction(2) ** -23) * Fraction(2) ** 127
    exact = min(max(max(abs(Fraction(one)) for one in numbers) / 127, limits[0]), limits[1])
    scale = float(np.float32(float(exact)))
    integers = [max(-127, min(127, round(Fraction(one) / Fraction(scale)))) for one in numbers]
    padding = bytes(-len(numbers) % 8)
    raw = label + b"\x01" + struct.pack("<Hf", len(numbers), scale) + struct.pack(f"{len(numbers)}b", *integers)
    content = {"input": numbers, "scale": scale, "integers": integers, "vector": [scale * one for one in integers]}
    return {"name": name, "reads": True, "template": (raw + padding).hex(), **content}


def _longer(template: str) -> bytes:
    changed = bytearray.fromhex(template)
    changed[33] += 8
    return bytes(changed)


def save(folder: Path = FOLDER) -> None:
    """Write the three files."""
    folder.mkdir(exist_ok=True)
    contents = {"receipts.json": receipts(), "seals.json": seals(), "templates.json": templates()}
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    save()
