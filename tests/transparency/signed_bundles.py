"""Keys, key sets, a small tree and bundles, made without the code of the service, except the content of a receipt.

Hashes, tokens and notes are made here from their specifications, so that the verifying code is not compared with
itself.
"""

import base64
import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.settings import Settings
from app.transparency.receipts import content
from app.transparency.verify import receipt as receipts
from app.transparency.verify import vocabulary
from tests.consent.drafts import shipped

ORIGIN = "mien/3f8e6a52-7f0c-4d59-9d0a-2c1b8f4e7a60"
AT = datetime(2026, 11, 26, 8, 30, 15, 123456, tzinfo=UTC)
UNTIL = datetime(2027, 11, 26, tzinfo=UTC)
SETTINGS = Settings(profile="prototype")
DOOR = content.recipient(UUID("5f0c2b1e-8d1e-4d0b-9a4e-0b8a6d9f1c23"), name="Door", contact="door@example.org")


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Key:
    """A signing key."""

    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def x(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def kid(self) -> str:
        return b64(hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{b64(self.x)}"}}'.encode()).digest())

    def jws(self, payload: bytes, typ: str, **header: Any) -> str:
        head = {"alg": "EdDSA", "kid": self.kid, "typ": typ, **header}
        signed = f"{b64(compact(head))}.{b64(payload)}"
        return f"{signed}.{b64(self.private.sign(signed.encode()))}"

    def published(self, signs: str = "receipts", **more: Any) -> dict[str, Any]:
        key = {"kty": "OKP", "crv": "Ed25519", "x": b64(self.x), "kid": self.kid, "use": "sig", "alg": "EdDSA"}
        return {**key, "iat": 1_790_000_000, "mien_signs": signs, **more}

    def note(self, text: str, name: str = ORIGIN) -> str:
        """Sign a note (C2SP signed-note)."""
        known_by = hashlib.sha256(name.encode() + b"\n\x01" + self.x).digest()[:4]
        signature = base64.b64encode(known_by + self.private.sign(text.encode())).decode()
        return f"{text}\n\N{EM DASH} {name} {signature}\n"


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def leaf_of(salt: bytes, payload: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + salt + payload).digest()


def tree(leaves: Sequence[bytes]) -> bytes:
    """The root, as RFC 6962, 2.1 defines it."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree(leaves[:half]) + tree(leaves[half:])).digest()


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """The audit path, as RFC 6962, 2.1.1 defines it."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*path(index, leaves[:half]), tree(leaves[half:])]
    return [*path(index - half, leaves[half:]), tree(leaves[:half])]


@dataclass
class Log:
    """A log with its key."""

    key: Key = field(default_factory=Key)
    origin: str = ORIGIN
    leaves: list[bytes] = field(default_factory=lambda: [hashlib.sha256(bytes([one])).digest() for one in range(11)])

    def checkpoint(self) -> str:
        root = base64.b64encode(tree(self.leaves)).decode()
        return self.key.note(f"{self.origin}\n{len(self.leaves)}\n{root}\n", self.origin)

    def proof(self, leaf: str) -> dict[str, Any]:
        index = self.leaves.index(bytes.fromhex(leaf))
        hashes = [one.hex() for one in path(index, self.leaves)]
        size, checkpoint = len(self.leaves), self.checkpoint()
        return {"leaf": leaf, "index": index, "size": size, "hashes": hashes, "checkpoint": checkpoint}

    def published(self, **more: Any) -> dict[str, Any]:
        return self.key.published("checkpoints", mien_origin=self.origin, **more)


@dataclass
class Signer:
    """An issuer of receipts, with its key and its log."""

    key: Key = field(default_factory=Key)
    log: Log = field(default_factory=Log)

    def bundle(self, payload: bytes, *, proven: bool = True, **promise: Any) -> dict[str, Any]:
        salt = hashlib.sha256(payload).digest()
        leaf = leaf_of(salt, payload)
        promised = {
            "origin": self.log.origin,
            "leaf": leaf.hex(),
            "log_key": self.log.key.kid,
            "by": "2026-11-26T08:40:15Z",
            **promise,
        }
        found: dict[str, Any] = {
            "jws": self.key.jws(payload, "mien-receipt+jws"),
            "leaf": leaf.hex(),
            "salt": b64(salt),
            "promise": self.key.jws(compact(promised), "mien-promise+jws"),
        }
        if proven:
            self.log.leaves.append(leaf)
            found["proof"] = self.log.proof(leaf.hex())
        return found

    def key_set(self, **more: Any) -> bytes:
        return key_set(self.key.published(**more), self.log.published())


def front_matter(name: str) -> tuple[str, dict[str, Any]]:
    """The digest and the front matter of a shipped notice."""
    body = shipped(name)
    return hashlib.sha256(body).hexdigest(), tomllib.loads(body.decode().split("+++\n", 2)[1])


def consent(kind: vocabulary.ConsentKind = "consent_given", purpose: str = "verification") -> receipts.ConsentReceipt:
    sha256, matter = front_matter(purpose)
    return content.consent_receipt(
        kind=kind,
        settings=SETTINGS,
        at=AT,
        valid_until=UNTIL if kind == "consent_given" else None,
        notice_sha256=sha256,
        front_matter=matter,
        relying_party=None if purpose == "template_renewal" else DOOR,
    )


def right(kind: vocabulary.RightKind = "rectification") -> receipts.RightReceipt:
    return content.right_receipt(kind=kind, settings=SETTINGS, at=AT)


def erasure() -> receipts.ErasureReceipt:
    return content.erasure_receipt(
        settings=SETTINGS,
        requested=AT.date(),
        keys_destroyed=AT,
        completed=AT,
        stores=[receipts.StoreCount(store="mien.db", unit="rows", before=14, after=0)],
        kept=[receipts.KeptItem(what="tombstones", holds="digests", why="so that no backup brings you back")],
    )


def every_kind() -> list[receipts.Receipt]:
    """A receipt of each kind."""
    consents: tuple[vocabulary.ConsentKind, ...] = (
        "consent_given",
        "consent_refused",
        "consent_withdrawn",
        "consent_expired",
    )
    rights: tuple[vocabulary.RightKind, ...] = (
        *("access", "rectification", "restriction", "restriction_lifted", "dispute", "dispute_lifted"),
    )
    return [*map(consent, consents), *map(right, rights), erasure()]


def saved(folder: Path, name: str, content: Any) -> Path:
    """Write JSON to a file."""
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file
