"""The terms of a receipt, as full URLs, so that a reader needs no other context.

States and purposes come from the Data Privacy Vocabulary (DPV 2), rights from its GDPR extension.
"""

from typing import Final, Literal, get_args

DPV = "https://w3id.org/dpv#"
GDPR = "https://w3id.org/dpv/legal/eu/gdpr#"
RECEIPT_PROFILE: Final = "https://w3id.org/dpv/schema/dpv-27560#receipt-eu-gdpr"
"""The profile of all receipts: ISO/IEC TS 27560 consent receipts with the additions of the GDPR."""

ConsentKind = Literal["consent_given", "consent_refused", "consent_withdrawn", "consent_expired"]
RightKind = Literal["access", "rectification", "restriction", "restriction_lifted", "dispute", "dispute_lifted"]
Kind = ConsentKind | RightKind | Literal["erasure"]
"""Mien's own words: the vocabulary has none for a dispute, or for lifting one."""
Purpose = Literal["verification", "identification", "template_renewal"]

EXPLICIT_CONSENT = f"{DPV}ExplicitlyExpressedConsent"
DATA_SUBJECT = f"{DPV}DataSubject"
CONTROLLER = f"{DPV}DataController"
RECIPIENT: Final = "https://w3id.org/dpv#Recipient"

EVENT_TYPES: dict[Kind, str] = {
    **dict.fromkeys(get_args(ConsentKind), EXPLICIT_CONSENT),
    "access": f"{GDPR}A15",
    "rectification": f"{GDPR}A16",
    "erasure": f"{GDPR}A17",
    "restriction": f"{GDPR}A18",
    "restriction_lifted": f"{GDPR}A18",
    "dispute": f"{GDPR}A18",
    "dispute_lifted": f"{GDPR}A18",
}
"""The type of consent (ISO/IEC TS 27560: event_type), or the right that the subject used."""

EVENT_STATES: dict[Kind, str] = {
    **dict.fromkeys(EVENT_TYPES, f"{DPV}RequestFulfilled"),
    "consent_given": f"{DPV}ConsentGiven",
    "consent_refused": f"{DPV}ConsentRefused",
    "consent_withdrawn": f"{DPV}ConsentWithdrawn",
    "consent_expired": f"{DPV}ConsentExpired",
}

PURPOSE_TYPES: dict[Purpose, str] = {
    "verification": f"{DPV}IdentityVerification",
    "identification": f"{DPV}IdentityAuthentication",
    "template_renewal": f"{DPV}ServiceProvision",
}

RIGHTS = tuple(f"{GDPR}{article}" for article in ("A7-3", "A15", "A16", "A17", "A18", "A20", "A77"))
"""The rights of every subject, without limits (law 5): withdraw, access, rectify, erase, restrict, port, complain."""


def event_terms(kind: Kind) -> dict[str, str]:
    """Return the terms of an event. Its actor is the subject, or the controller when a consent expired."""
    actor = CONTROLLER if kind == "consent_expired" else DATA_SUBJECT
    return {"event_type": EVENT_TYPES[kind], "event_state": EVENT_STATES[kind], "entity_id": actor}
