"""Examples of consents in the OpenAPI document."""

from app.parties.examples import PARTY_ID
from app.subjects.examples import ACCOUNT
from app.transparency.examples import RECEIPT
from app.web.openapi import Example

CONSENT_ID = "3f8e6a52-7f0c-4d59-9d0a-2c1b8f4e7a60"
NOTICE_SHA256 = "c49b34f017e8761ae12b63efcd7baa6611449752e42c2c43804b0c87f256c176"
"""SHA-256 of the shipped notice for `verification`."""
RENEWAL_SHA256 = "e0cd3ab397fbf9366cb4b21463b4c4b6118a0f5cd3356172b43c3a3db25f154b"
"""SHA-256 of the shipped notice for `template_renewal`."""
SUBJECT_REF = "BDy2U4T4cJRs22CwegLos5-w"
UNTIL = "2027-11-23T00:00:00Z"

NOTICE: Example = {
    "sha256": NOTICE_SHA256,
    "purpose": "verification",
    "language": "en",
    "version": 3,
    "published_at": "2026-11-20T08:00:00.520889Z",
}
CONSENT: Example = {"purpose": "verification", "relying_party_id": PARTY_ID, "notice_sha256": NOTICE_SHA256}
REFUSAL: Example = {"purpose": "template_renewal", "notice_sha256": RENEWAL_SHA256, "decision": "refused"}
_IN_FORCE: Example = {**CONSENT, "consent_id": CONSENT_ID, "subject_ref": SUBJECT_REF, "valid_until": UNTIL}
GRANT: Example = {**_IN_FORCE, "paused": False}
DECISION: Example = {**_IN_FORCE, "decision": "given", "receipt": RECEIPT}
EVENT: Example = {
    **CONSENT,
    "consent_id": CONSENT_ID,
    "state": "given",
    "event_time": "2026-11-23T10:25:42.855468Z",
    "valid_until": UNTIL,
}
CONSENTS: Example = {"items": [EVENT], "next": None, "in_force": [GRANT]}
RENEWAL: Example = {"notice_sha256": NOTICE_SHA256}
DUE: Example = {**CONSENT, "consent_id": CONSENT_ID, "valid_until": UNTIL, "renewable": True}
ME: Example = {**ACCOUNT, "renewals_due": [DUE]}
RENEWED: Example = {**GRANT, "valid_until": "2028-11-02T00:00:00Z", "receipt": RECEIPT}
WITHDRAWAL: Example = {
    "consent_id": CONSENT_ID,
    "state": "withdrawn",
    "event_time": "2026-12-01T17:03:09.114205Z",
    "erased_from_disk": True,
    "receipt": RECEIPT,
}
DELIVERY: Example = {
    "delivery_id": "7f1d0c5e-52f4-4f0f-8f3b-1c0a52b1a7de",
    "relying_party_id": PARTY_ID,
    "relying_party": "Door",
    "event": "ended",
    "purpose": "verification",
    "state": "acknowledged",
    "made_at": "2026-12-01T17:03:09.114205Z",
    "tries": 1,
    "last_tried_at": "2026-12-01T17:03:10.020771Z",
    "settled_at": "2026-12-01T17:03:10.020771Z",
}
REFERENCE: Example = {"subject_ref": SUBJECT_REF, "purposes": ["verification"]}
PROOF: Example = {**CONSENT, "consent_id": CONSENT_ID, "given_on": "2026-11-23", "ended_on": None}
