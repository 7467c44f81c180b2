"""Verification in tests, and one signer with a valid receipt."""

import json
from typing import Any

from app.transparency.verify import receipt as receipts
from app.transparency.verify.service import Verdict, verify_receipt
from tests.transparency.signed_bundles import Signer, right

PAYLOAD = receipts.encode_receipt(right())
FIXED = Signer()
GOOD, KEYS = FIXED.bundle(PAYLOAD), FIXED.key_set()
OTHER_LOG = "mien/00000000-7f0c-4d59-9d0a-2c1b8f4e7a60"


def verdict(bundle: Any, jwks: bytes, *fingerprints: str) -> Verdict:
    text = bundle if isinstance(bundle, bytes) else json.dumps(bundle).encode()
    return verify_receipt(text, jwks=jwks, fingerprints=fingerprints)


def refused(found: Verdict, reason: str) -> bool:
    """Check that a receipt was refused for this reason."""
    assert found == Verdict(valid=False, reason=found.reason)
    assert reason in found.reason, found.reason
    return True


def stolen(log_size: Any) -> dict[str, Any]:
    return {"revoked": {"revoked_at": 1_790_000_000, "reason": "compromised", "log_size": log_size}}
