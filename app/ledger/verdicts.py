"""Checking a receipt for somebody who asks the service that issued it: with its own keys, and its own log."""

import json

from pydantic import JsonValue

from app.ledger import keys, log
from app.ledger.verifying import Verdict, verify
from app.vault.vault import Vault


def of(vault: Vault, receipt: JsonValue) -> Verdict:
    """Say whether a receipt holds. A proof that it lacks is looked for."""
    if isinstance(receipt, dict) and receipt.get("proof") is None:
        receipt = {**receipt, "proof": _proof(vault, receipt.get("leaf"))}
    # A text is taken for the bundle as it lies in a file.
    bundle = receipt if isinstance(receipt, str) else json.dumps(receipt)
    return verify(bundle.encode(errors="replace"), jwks=json.dumps(keys.jwks(vault)).encode())


def _proof(vault: Vault, leaf: JsonValue) -> JsonValue:
    try:
        return log.inclusion(vault, bytes.fromhex(leaf)).model_dump(mode="json") if isinstance(leaf, str) else None
    except (ValueError, log.NotInTheLogError):
        return None
