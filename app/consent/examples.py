"""What the OpenAPI document shows of consents."""

from app.kit.openapi import Example
from app.ledger.examples import RECEIPT
from app.parties.examples import PARTY_ID

CONSENT_ID = "3f8e6a52-7f0c-4d59-9d0a-2c1b8f4e7a60"
NOTICE_SHA256 = "a4675c167468762f3c1d7a1448a9cd5a1a25be86053c9450a675feb7e5b8aee8"
"""Of the notice of verification that ships with this version."""
RENEWAL_SHA256 = "0a58c3316af9254b24b50fe9e6751462034b78e39922a2d0ac216e27c2bce9ac"
"""Of that of `template_renewal`."""
SUBJECT_REF = "BDy2U4T4cJRs22CwegLos5-w"
UNTIL = "2027-11-23T00:00:00Z"

NOTICE: Example = {
    "sha256": NOTICE_SHA256,
    "purpose": "verification",
    "language": "en",
    "version": 1,
    "published_at": "2026-11-20T08:00:00.520889Z",
}
_ASKED: Example = {"purpose": "verification", "relying_party_id": PARTY_ID, "notice_sha256": NOTICE_SHA256}
CONSENT: Example = {**_ASKED}
REFUSAL: Example = {"purpose": "template_renewal", "notice_sha256": RENEWAL_SHA256, "decision": "refused"}
_GIVEN: Example = {**_ASKED, "consent_id": CONSENT_ID, "subject_ref": SUBJECT_REF, "valid_until": UNTIL}
GRANT: Example = {**_GIVEN, "paused": False}
DECISION: Example = {**_GIVEN, "decision": "given", "receipt": RECEIPT}
EVENT: Example = {
    **_ASKED,
    "consent_id": CONSENT_ID,
    "state": "given",
    "event_time": "2026-11-23T10:25:42.855468Z",
    "valid_until": UNTIL,
}
CONSENTS: Example = {"items": [EVENT], "next": None, "in_force": [GRANT]}
WITHDRAWAL: Example = {
    "consent_id": CONSENT_ID,
    "state": "withdrawn",
    "event_time": "2026-12-01T17:03:09.114205Z",
    "erased_from_disk": True,
    "receipt": RECEIPT,
}
REFERENCE: Example = {"subject_ref": SUBJECT_REF, "purposes": ["verification"]}
PROOF: Example = {**_ASKED, "consent_id": CONSENT_ID, "given_on": "2026-11-23", "ended_on": None}
