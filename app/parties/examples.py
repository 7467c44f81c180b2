"""Examples of relying parties in the OpenAPI document."""

from app.web.openapi import Example

PARTY_ID = "b1a7d1a0-6d0c-4f0e-9b5e-6f6b6d1f2a3c"
PARTY: Example = {
    "relying_party_id": PARTY_ID,
    "name": "Door",
    "contact": "door@example.org",
    "purposes": ["verification"],
    "alternative": "a key card",
    "context": "the entrance of the office, on working days",
    "legal_basis": "explicit consent (GDPR Art. 9(2)(a))",
}
