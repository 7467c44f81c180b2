"""The texts about the whole API in its OpenAPI document. Those about one route or field are beside it."""

from typing import Any

DESCRIPTION = """
A face is compared only for a person who agreed to it. That person can see, withdraw and erase everything at any time.

There are two roles, each with its own token. **A person** registers (`POST /v1/subjects`) and reads the notice for a
purpose (`GET /v1/notices`). Then the person consents to it for one relying party (`POST /v1/me/consents`) and enrols
photos of their own face (`POST /v1/me/enrolments`). **A relying party** is an organisation that the operator added. It
asks whether a face is the one enrolled under a reference (`POST /v1/verifications`) and gets `match` or `no_match`: no
score, no name, no reason. The person sees every comparison (`GET /v1/me/comparisons`) and all stored data
(`GET /v1/me/access`), can withdraw each consent (`DELETE /v1/me/consents/{consent_id}`) and can erase everything
(`DELETE /v1/me`). These rights have no rate limit.

Every error is a problem document (RFC 9457). The slug at the end of its `type` tells the kind and never changes.
Besides the listed problems, any address can answer 404 `not-found`, 405 `method-not-allowed` and 500 `internal-error`.
"""
TAGS = [
    {"name": "registering", "description": "Create an account, or get back into it. No e-mail address, no password."},
    {"name": "consent", "description": "The consents of a person: to which notice, for which relying party, how long."},
    {"name": "enrolment", "description": "Photos of a person's own face, from which one sealed template is made."},
    {
        "name": "account",
        "description": "The name and the tokens of a person, and every comparison with their template.",
    },
    {"name": "rights", "description": "Access, export and erasure: at any time, as often as the person likes."},
    {"name": "relying party", "description": "Verify the faces of people who agreed to it."},
    {"name": "open to all", "description": "Public: notices, relying parties, the engine, the retention rules."},
    {"name": "proof", "description": "Receipts, the keys that sign them, and the append-only transparency log."},
    {"name": "operators", "description": "For the operator: whether the service runs and is ready, and its metrics."},
]
TEXTS: dict[str, Any] = {
    "title": "Mien",
    "summary": "Face matching that asks first.",
    "description": DESCRIPTION.strip(),
    "openapi_tags": TAGS,
}
"""As arguments of `FastAPI`."""


def prototype_texts(controller: str) -> dict[str, Any]:
    """Return the texts with a first line that says that this is a prototype."""
    return {**TEXTS, "description": f"**This is a prototype, with a {controller}.**\n\n{TEXTS['description']}"}
