"""The description of callbacks for the OpenAPI document. Relying parties implement it; no request arrives here."""

from typing import Any

from app.callbacks.message import EventClaims

CLAIMS = EventClaims.model_json_schema(ref_template="#/components/schemas/{model}")
# The document has the same enums for `GET /v1/me/deliveries`.
del CLAIMS["$defs"]
MESSAGE = {
    "type": "string",
    "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$",
    "description": "A compact JWS (RFC 7515), `alg` EdDSA, `typ` mien-event+jws. `contentSchema` describes the claims.",
    "contentMediaType": "application/json",
    "contentSchema": CLAIMS,
}
WEBHOOKS: dict[str, Any] = {
    "consent-event": {
        "post": {
            "operationId": "receive_consent_event",
            "tags": ["relying party"],
            "summary": "Receive the news about a consent",
            "description": "A consent was given or has ended; never the reason. The service sends the message to the "
            "callback address that the operator registered for you, until you acknowledge it.",
            "requestBody": {"required": True, "content": {"application/jose": {"schema": MESSAGE}}},
            "responses": {
                "2XX": {"description": "Acknowledged. The rest of the answer is ignored."},
                "default": {"description": "Not acknowledged: the message is sent again later."},
            },
        }
    }
}
"""As `webhooks` of OpenAPI 3.1."""
