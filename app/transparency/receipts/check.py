"""Checking a receipt for somebody who asks the service that issued it: with its own keys, and its own log."""

import json

from pydantic import JsonValue

from app.transparency.log import service as log
from app.transparency.log import signing_keys
from app.transparency.verify.service import Verdict, promised_log, verify_receipt
from app.vault.vault import Vault


def check_receipt(vault: Vault, receipt: JsonValue) -> Verdict:
    """Say whether a receipt holds. A proof that it lacks is looked for."""
    if isinstance(receipt, dict) and receipt.get("proof") is None:
        receipt = {**receipt, "proof": _proof(vault, receipt.get("leaf"))}
    # A text is taken for the bundle as it lies in a file.
    bundle = (receipt if isinstance(receipt, str) else json.dumps(receipt)).encode(errors="replace")
    verdict = verify_receipt(bundle, jwks=json.dumps(signing_keys.build_jwks(vault)).encode())
    ours = signing_keys.log_origin(vault.register.check_origin())
    theirs = None if verdict.valid else promised_log(bundle)
    if theirs in {None, ours}:
        return verdict
    return Verdict(
        valid=False,
        reason=f"it says that it is of another log ({theirs}) than this service's ({ours}), which proves nothing of "
        "that one: check it with the key file that belongs to that log",
    )


def _proof(vault: Vault, leaf: JsonValue) -> JsonValue:
    try:
        return (
            log.prove_inclusion(vault, bytes.fromhex(leaf)).model_dump(mode="json") if isinstance(leaf, str) else None
        )
    except (ValueError, log.LeafNotFoundError):
        return None
