"""Examples for the OpenAPI document."""

from app.consent.examples import CONSENT_ID, NOTICE_SHA256
from app.subjects.examples import SUBJECT_ID
from app.transparency.examples import RECEIPT as SIGNED
from app.web.openapi import Example

ERASURE: Example = {
    "erasure_id": "f26ca7a3-02a5-4896-86f3-8af77bba9196",
    "status": "completed",
    "step": "completed",
    "requested_on": "2026-12-01",
    "completed_on": "2026-12-01",
    "kept": [
        {
            "what": "this erasure",
            "holds": "its own random id, its state, the days, and its receipt; nothing that identifies you",
            "why": "so that you can see that it was done, for 1095 days (3 years) afterwards",
        }
    ],
    "receipt": SIGNED,
}
RECEIPT: Example = {
    "receipt_id": "5b0b8d3e-2f1c-4b57-9a54-6d7e8f901a2b",
    "kind": "consent_given",
    "event_time": "2026-11-23T10:25:42Z",
    "receipt": SIGNED,
}
RULE: Example = {
    "rule": "access_counts",
    "what": "how often you asked for access, by day",
    "why": "so that access is accounted for",
    "how_long": "400 days, or until you erase your account",
    "days": 400,
    "by": "the maintenance run: the service starts it by itself, and `mien sweep` starts it too",
}
ACCESS: Example = {
    "$schema": "/v1/schemas/access",
    "made_at": "2026-11-23T10:25:42.883684+00:00",
    "receipt": None,
    "subject_id": SUBJECT_ID,
    "restricted": False,
    "purposes": [
        {
            "consent_id": CONSENT_ID,
            "purpose": "verification",
            "in_words": "check whether a photo shows you",
            "relying_party": "Door",
            "until": "2027-11-23T00:00:00+00:00",
            "legal_basis": "your explicit consent (GDPR Art. 6(1)(a) and 9(2)(a))",
            "notice": f"/v1/notices/{NOTICE_SHA256}",
        }
    ],
    "retention": [RULE],
}
"""Shortened to the first members."""
ACCESS_SCHEMA: Example = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "/v1/schemas/access",
    "title": "Everything that Mien holds about one person",
    "type": "object",
    "properties": {"subject_id": {"type": "string", "format": "uuid"}, "restricted": {"type": "boolean"}},
    "required": ["subject_id", "restricted"],
    "additionalProperties": False,
}
"""Shortened to two members."""
