"""Examples of comparisons and disputes in the OpenAPI document."""

from app.parties.examples import PARTY_ID
from app.transparency.examples import RECEIPT
from app.web.openapi import Example

VERIFIED: Example = {
    "comparison_id": "c1ed1c5b-8c4f-46b0-a4fe-b50d169c1311",
    "decision": "match",
    "target_fmr": 0.001,
    "liveness": "not_checked",
}
COMPARISON: Example = {
    **VERIFIED,
    "relying_party_id": PARTY_ID,
    "relying_party": "Door",
    "purpose": "verification",
    "at": "2026-11-24T07:58:31.402117Z",
    "disputed": False,
    "in_sweep": False,
}
DISPUTE: Example = {"note": "I was abroad that day."}
DISPUTED: Example = {
    "comparison_id": VERIFIED["comparison_id"],
    "disputed": True,
    "paused": True,
    "note": DISPUTE["note"],
    "receipt": RECEIPT,
}
SHORTENED: Example = {"deleted": 12, "erased_from_disk": True}
