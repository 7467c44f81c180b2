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
class Kept:
    """One receipt in a file, and what its holder knows of it."""

    file: Path
    owner: str
    kind: str
    """What happened, as the holder saw it happen."""
    leaf: str


class Holder:
    """A directory outside the service's own; a context manager."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self.root = Path(tempfile.mkdtemp(prefix="mien-demo-held-"))
        self.keys = self.root / "jwks.json"
        """The key file: as the service published it, so not believed by itself."""
        self.witness = self.root / "witness"
        """What a witness keeps of the log."""
        self.fingerprint = ""
        """Of the key that signs receipts, as the operator told it."""
        self.vkey = ""
        """The key of the log's checkpoints, as the operator told it."""
        self.receipts: list[Kept] = []

    def __enter__(self) -> Self:
        """Give the directory."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the directory, also after an error."""
        if not self._keep:
            shutil.rmtree(self.root, ignore_errors=True)

    def keep(self, bundle: dict[str, Any], *, owner: str, kind: str) -> Kept:
        """Keep a receipt as it was handed over."""
        file = self.root / f"{len(self.receipts) + 1:02}-{kind.replace('_', '-')}.json"
        kept = Kept(file, owner, kind, bundle["leaf"])
        file.write_text(json.dumps(bundle))
        self.receipts.append(kept)
        return kept

    def add_proof(self, kept: Kept, proof: dict[str, Any]) -> None:
        """Put the proof that the log has it beside a receipt."""
        bundle = json.loads(kept.file.read_text())
        kept.file.write_text(json.dumps(bundle | {"proof": proof}))


def unpadded(text: str) -> bytes:
    """Read base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def telling_parts(bundle: dict[str, Any]) -> dict[str, str]:
    """Return the random values of a receipt, which identify it wherever they are found."""
    payload, signature = bundle["jws"].split(".")[1:]
    said = json.loads(unpadded(payload))
    ids = {name: said[name] for name in ("receipt_id", "record_id", "pii_principal_id") if name in said}
    return {**ids, "salt": bundle["salt"], "signature": signature}
