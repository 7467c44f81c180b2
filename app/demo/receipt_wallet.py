"""Files that the people of the story keep: receipts, published keys, and fingerprints from other sources."""

import base64
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self


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
    """A temporary directory outside the service's own; a context manager.

    Args:
        keep: whether the directory is kept at the end.
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self.root = Path(tempfile.mkdtemp(prefix="mien-demo-held-"))
        self.keys = self.root / "jwks.json"
        """The key file that the service published; not trusted by itself."""
        self.witness = self.root / "witness"
        """The state of the witness."""
        self.fingerprint = ""
        """Fingerprint of the key that signs receipts, from the operator."""
        self.vkey = ""
        """The key of the checkpoints, from the operator."""
        self.receipts: list[StoredReceipt] = []

    def __enter__(self) -> Self:
        """Return the wallet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the directory, also after an error."""
        if not self._keep:
            shutil.rmtree(self.root, ignore_errors=True)

    def store(self, bundle: dict[str, Any], *, owner: str, kind: str) -> None:
        """Write a receipt to a file, unchanged."""
        file = self.root / f"{len(self.receipts) + 1:02}-{kind.replace('_', '-')}.json"
        file.write_text(json.dumps(bundle))
        self.receipts.append(StoredReceipt(file, owner, kind, bundle["leaf"]))


def decode_base64url(text: str) -> bytes:
    """Decode base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def identifying_parts(bundle: dict[str, Any]) -> dict[str, str]:
    """Return the random values of a receipt, by which it could be recognised in any store."""
    payload, signature = bundle["jws"].split(".")[1:]
    content = json.loads(decode_base64url(payload))
    ids = {name: content[name] for name in ("receipt_id", "record_id", "pii_principal_id") if name in content}
    return {**ids, "salt": bundle["salt"], "signature": signature}
