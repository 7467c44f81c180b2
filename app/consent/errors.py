"""What consent refuses."""

from app.kit.errors import Problem
from app.subjects.service import RestrictedError


class ConsentRequiredError(Problem):
    """No grant in force covers this. Never given, withdrawn, expired, another purpose, another person: one answer."""

    status = 403
    slug = "consent-required"
    title = "Consent required"
    detail = "Read the notice for this purpose and give your consent first: POST /v1/me/consents."


class NoticeChangedError(Problem):
    """The notice is not the one in force for this purpose."""

    status = 409
    slug = "notice-changed"
    title = "The notice has changed"
    detail = "Read the notice that is in force now (GET /v1/notices) and decide on that text."


class NoSuchConsentError(Problem):
    """A relying party may not use this reference now; whatever the reason, the same bytes."""

    status = 404
    slug = "no-such-consent"
    title = "No such consent"
    detail = "No consent in force lets you use this subject_ref. Offer the person your alternative."


class PausedError(RestrictedError):
    """The person disputes a comparison that was made on this consent; only they are told so."""

    detail = (
        "You said of a comparison for this relying party that it was not you, so your face is not used for it. Lift "
        "that first: DELETE /v1/me/comparisons/{comparison_id}/dispute."
    )
