"""Files that the people of the story keep: receipts, published keys, and fingerprints from other sources."""

import base64
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """A receipt in a file."""

    file: Path
    owner: str
    kind: str
    """The act, as its owner knows it."""
    leaf: str

    def add_proof(self, proof: dict[str, Any]) -> None:
        """Add the proof that the receipt is in the transparency log."""
        self.file.write_text(json.dumps(json.loads(self.file.read_text()) | {"proof": proof}))


class Wallet:
    """The files in one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keys = self.root / "jwks.json"
        """The key file that the service published; not trusted by itself."""
        self.witness = self.root / "witness"
        """The state of the witness."""
        self.fingerprint = ""
        """Fingerprint of the key that signs receipts, from the operator."""
        self.vkey = ""
        """The key of the checkpoints, from the operator."""
        self.receipts: list[StoredReceipt] = []

    def store(self, bundle: dict[str, Any], *, owner: str, kind: str) -> None:
        """Write a receipt to a file, unchanged."""
        file = self.root / f"{len(self.receipts) + 1:02}-{kind.replace('_', '-')}.json"
        file.write_text(json.dumps(bundle))
        self.receipts.append(StoredReceipt(file, owner, kind, bundle["leaf"]))


@contextmanager
def open_wallet(*, keep: bool) -> Iterator[Wallet]:
    """Make a wallet in a temporary directory; remove it at the end unless it is to be kept."""
    root = Path(tempfile.mkdtemp(prefix="mien-demo-held-"))
    try:
        yield Wallet(root)
    finally:
        if not keep:
            shutil.rmtree(root, ignore_errors=True)


def decode_base64url(text: str) -> bytes:
    """Decode base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def identifying_parts(bundle: dict[str, Any]) -> dict[str, str]:
    """Return the random values of a receipt, by which it could be recognised in any store."""
    payload, signature = bundle["jws"].split(".")[1:]
    content = json.loads(decode_base64url(payload))
    ids = {name: content[name] for name in ("receipt_id", "record_id", "pii_principal_id") if name in content}
    return {**ids, "salt": bundle["salt"], "signature": signature}
