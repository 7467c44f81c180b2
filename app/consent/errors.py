"""Consent refusals."""

from app.kit.errors import Problem
from app.subjects.service import RestrictedError


class ConsentRequiredError(Problem):
    """No grant in force covers the request; one answer for never given, withdrawn, expired or for another purpose."""

    status = 403
    slug = "consent-required"
    title = "Consent required"
    detail = "Read the notice for this purpose and give your consent first: POST /v1/me/consents."


class NoticeChangedError(Problem):
    """The notice is not in force for this purpose."""

    status = 409
    slug = "notice-changed"
    title = "The notice has changed"
    detail = "Read the notice that is in force now (GET /v1/notices) and decide on that text."


class NoticeStaleError(NoticeChangedError):
    """No notice is in force for this purpose: the latest is retired, or states a fact that is no longer true."""

    detail = (
        "The notice for this purpose is retired, or no longer describes this service. New consents wait until its next "
        "version is in force: read it when GET /v1/notices lists it, and decide on that text. Consents in force, and "
        "all your rights, go on as before."
    )


class NoSuchConsentError(Problem):
    """The relying party may not use this reference now; the same bytes for every reason (law 9)."""

    status = 404
    slug = "no-such-consent"
    title = "No such consent"
    detail = "No consent in force lets you use this subject_ref. Offer the person your alternative."


class PausedError(RestrictedError):
    """The subject disputes a comparison made on this consent; only the subject gets this answer."""

    detail = (
        "You disputed a comparison for this relying party, so your face is not used for it. Lift the dispute first: "
        "DELETE /v1/me/comparisons/{comparison_id}/dispute."
    )
