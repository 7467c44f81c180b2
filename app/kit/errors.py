"""Errors as data: a status, a permanent public slug, a title, and a detail that tells the caller how to continue."""

from typing import ClassVar


class OperatorError(Exception):
    """An error that the operator can act on: a command prints its text instead of a traceback."""


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """An error that the caller receives as a problem document (RFC 9457).

    A subclass is one kind of problem. Its `slug` is permanent and a heading in `docs/reference/errors.md`.

    Args:
        detail: tells the caller how to continue, without personal data, scores or key ids.
        members: further members of the problem document.
    """

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]
    detail: ClassVar[str] = ""
    headers: ClassVar[dict[str, str]] = {}
    example: ClassVar[dict[str, object]] = {}
    """Further members, as the OpenAPI document shows them."""

    def __init__(self, detail: str | None = None, **members: object) -> None:
        super().__init__(self.slug)
        self.answer_headers = dict(self.headers)
        self.text = self.detail if detail is None else detail
        self.members = members


class NotFoundError(Problem):
    """The caller owns nothing at this address."""

    status = 404
    slug = "not-found"
    title = "Not found"
    detail = "There is nothing at this address that belongs to you. Check the address and the id."


class InvalidRequestError(Problem):
    """The form or the fields of the request do not follow the contract."""

    status = 422
    slug = "invalid-request"
    title = "Invalid request"
    detail = "Correct the fields listed under `errors` and send the request again."
    example: ClassVar[dict[str, object]] = {
        "errors": [{"pointer": "/display_name", "detail": "String should have at most 200 characters"}]
    }

    def __init__(self, *errors: tuple[str, str]) -> None:
        """Take a JSON pointer and a reason for each wrong field; never the rejected value."""
        super().__init__(errors=[{"pointer": pointer, "detail": reason} for pointer, reason in errors])


class BusyError(Problem):
    """The engine has no free worker and no room in its queue. Rights are still answered."""

    status = 503
    slug = "busy"
    title = "Busy"
    detail = "The service cannot take more photos now. Nothing was kept. Try again in a few seconds."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class TooManyAttemptsError(Problem):
    """Too many sign-ups or wrong recovery codes from one address, or failed comparisons. Never raised for a right."""

    status = 429
    slug = "too-many-attempts"
    title = "Too many attempts"
    detail = "Too many attempts from your network. Wait for as long as the header `Retry-After` says, in seconds."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}

    def __init__(self, *, retry_after_s: int) -> None:
        """Take the seconds that the caller must wait."""
        super().__init__()
        self.answer_headers["Retry-After"] = str(retry_after_s)
