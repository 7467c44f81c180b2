"""An error is data: a status, a permanent public slug, a title, and what the person can do about it."""

from typing import ClassVar


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """An error that the caller receives as a problem document (RFC 9457).

    A subclass is one *kind* of problem. Its ``slug`` is permanent and a heading in ``docs/reference/errors.md``.

    Args:
        detail: what the person can do about it. Holds no personal data, no score, no key id.
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
    """There is nothing here that belongs to the caller."""

    status = 404
    slug = "not-found"
    title = "Not found"
    detail = "There is nothing at this address that belongs to you. Check the address and the id."


class InvalidRequestError(Problem):
    """The request's form or fields are not as the contract says."""

    status = 422
    slug = "invalid-request"
    title = "Invalid request"
    detail = "Correct the fields listed under `errors` and send the request again."
    example: ClassVar[dict[str, object]] = {
        "errors": [{"pointer": "/display_name", "detail": "String should have at most 200 characters"}]
    }

    def __init__(self, *errors: tuple[str, str]) -> None:
        """Take a JSON pointer and a reason for each field at fault; never the rejected value."""
        super().__init__(errors=[{"pointer": pointer, "detail": reason} for pointer, reason in errors])


class BusyError(Problem):
    """More is asked than can be worked on now; rights are answered all the same."""

    status = 503
    slug = "busy"
    title = "Busy"
    detail = "The service cannot take more photos now. Nothing was kept. Try again in a few seconds."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class TooManyAttemptsError(Problem):
    """Sign-ups or wrong recovery codes from one address, or comparisons that failed. Never on a right."""

    status = 429
    slug = "too-many-attempts"
    title = "Too many attempts"
    detail = "Too many attempts from your network. Wait for as long as the header `Retry-After` says, in seconds."

    def __init__(self, *, retry_after_s: int) -> None:
        """Take the time that the caller must wait."""
        super().__init__()
        self.answer_headers["Retry-After"] = str(retry_after_s)
