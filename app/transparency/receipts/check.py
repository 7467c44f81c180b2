"""Verification of a receipt by the service, with its own keys and its own log."""

import json

from pydantic import JsonValue

from app.transparency.log import service as log
from app.transparency.log import signing_keys
from app.transparency.verify.service import Verdict, promised_log, verify_receipt
from app.vault.vault import Vault


def check_receipt(vault: Vault, receipt: JsonValue) -> Verdict:
    """Verify a receipt. The service adds the proof if the receipt has none."""
    if isinstance(receipt, dict) and receipt.get("proof") is None:
        receipt = {**receipt, "proof": _proof(vault, receipt.get("leaf"))}
    # A text is the content of a receipt's file.
    bundle = (receipt if isinstance(receipt, str) else json.dumps(receipt)).encode(errors="replace")
    verdict = verify_receipt(bundle, jwks=json.dumps(signing_keys.build_jwks(vault)).encode())
    ours = signing_keys.log_origin(vault.register.check_origin())
    theirs = None if verdict.valid else promised_log(bundle)
    if theirs in {None, ours}:
        return verdict
    reason = f"it names another log ({theirs}) than this service's ({ours}): verify it with the key file of that log"
    return Verdict(valid=False, reason=reason)


def _proof(vault: Vault, leaf: JsonValue) -> JsonValue:
    if not isinstance(leaf, str):
        return None
    try:
        return log.prove_inclusion(vault, bytes.fromhex(leaf)).model_dump(mode="json")
    except (ValueError, log.LeafNotFoundError):
        return None
