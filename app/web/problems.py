"""Map every error to a problem document (RFC 9457)."""

from collections.abc import Callable, Collection
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.db.faults import describe_fault
from app.kit.errors import InvalidRequestError, NotFoundError, Problem

MAX_FAULTS = 50
"""Faulty fields listed in one answer: a body can hold a million unknown fields."""
MALFORMED = "The request line, a header or the framing of the body is malformed, or asks for a tunnel or HTTP/2"
TYPE = "urn:mien:problem:"
SLUG = "problem_slug"
"""Name of the answered slug in the state of a request."""
log = structlog.get_logger()


class TooLargeError(Problem):
    """The body, or one file in it, is larger than its limit."""

    status = 413
    slug = "too-large"
    title = "Too large"
    detail = (
        "Send less. The default limits: 12 MiB for an image, 61 MiB for an enrolment, 256 KiB for JSON and 13 MiB for "
        "any other body."
    )


class RequestTimeoutError(Problem):
    """The body arrived too slowly."""

    status = 408
    slug = "request-timeout"
    title = "Request timeout"
    detail = "The request took too long to arrive. Nothing was stored. Try again with a faster connection or less data."
    headers: ClassVar[dict[str, str]] = {"Connection": "close"}


class MalformedRequestError(InvalidRequestError):
    """The bytes are not valid HTTP, or the end of the request is ambiguous."""

    status = 400
    detail = "The request is not valid HTTP (RFC 9112). Correct the faults under `errors` and use a new connection."

    def __init__(self, reason: str = MALFORMED) -> None:
        """Blame the whole request; without a reason, because the parser tells none."""
        super().__init__(("", reason))


class MethodNotAllowedError(Problem):
    """The address exists, but not with this method."""

    status = 405
    slug = "method-not-allowed"
    title = "Method not allowed"
    detail = "Use one of the methods listed in the `Allow` header."


class StorageUnavailableError(Problem):
    """The database could not be read or written."""

    status = 503
    slug = "storage-unavailable"
    title = "Storage unavailable"
    detail = (
        "Nothing new was stored. If you asked to end or delete something, that may be done already; otherwise the "
        "service finishes it. Try again in a few seconds. If the problem remains, the operator has to check the disk."
    )
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class InternalError(Problem):
    """An error that no handler expects."""

    status = 500
    slug = "internal-error"
    title = "Internal server error"
    detail = "The service failed; your request is not the cause. The error was logged without your data."


class _ProblemResponse(JSONResponse):
    """A problem document. It leaves its slug in the request's state, for the metrics."""

    media_type = "application/problem+json"

    def __init__(self, slug: str, content: dict[str, Any], status_code: int, headers: dict[str, str]) -> None:
        super().__init__(content, status_code, headers)
        self._slug = slug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the document."""
        scope.setdefault("state", {})[SLUG] = self._slug
        await super().__call__(scope, receive, send)


def problem_document(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return *problem* as a response of type `application/problem+json`."""
    content: dict[str, Any] = {
        "type": TYPE + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.text,
        **problem.members,
    }
    headers = {"Cache-Control": "no-store", **problem.answer_headers, **(headers or {})}
    return _ProblemResponse(problem.slug, content, problem.status, headers)


def _fault(error: Any) -> tuple[str, str]:  # noqa: ANN401 - pydantic's own form
    """Return the JSON pointer of a faulty field and the reason, without the rejected value: that may be personal."""
    # The first part is the source (body, query, path); the rest is the field.
    parts = [] if error["type"] == "json_invalid" else error["loc"][1:]
    reason = error["msg"]
    if "UploadFile" in reason:
        reason = "Send this part as a file, with a filename"
    # Escaped as RFC 6901, section 3: a field's name may hold a slash.
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts), reason


def _from_validation(error: RequestValidationError) -> Problem:
    faults = error.errors()
    if any(fault["loc"][0] == "path" for fault in faults):
        # A malformed id in the path is an address that does not exist.
        return NotFoundError()
    faults = faults[:MAX_FAULTS]
    problem = InvalidRequestError(*map(_fault, faults))
    shown: Any = problem.members["errors"]
    for fault, entry in zip(faults, shown, strict=True):
        if fault["loc"][0] == "query":
            entry["parameter"] = fault["loc"][1]
    return problem


def _from_http(error: HTTPException) -> Problem:
    known: dict[int, type[Problem]] = {404: NotFoundError, 405: MethodNotAllowedError, 413: TooLargeError}
    if error.status_code in known:
        return known[error.status_code]()
    return InvalidRequestError(("", str(error.detail)))


def _allowed_methods(app: FastAPI, path: str) -> list[str]:
    methods = {
        method.upper()
        for template, operations in app.openapi()["paths"].items()
        if compile_path(template)[0].match(path)
        for method in operations
    }
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


class InternalErrors:
    """ASGI middleware: answer unexpected errors inside the other middleware.

    Starlette would answer outside of it: without request id, CORS headers, or a status in the application log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; answer an error unless the response has begun."""
        begun = False

        async def note_begin(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, note_begin)
        except Exception as error:
            if begun and isinstance(error.__cause__, Problem):
                # As when the subject is erased while their export is sent. The server closes the unfinished response.
                log.warning("answer broken off", problem=error.__cause__.slug)
                return
            log.error("fault", error=type(error).__name__)
            if begun or scope["type"] != "http":
                raise
            await problem_document(InternalError())(scope, receive, send)


def _answer_storage_error(_request: Request, error: Exception) -> JSONResponse:
    cause = getattr(error, "orig", error)
    # The store logs its faults itself, once for all requests.
    if describe_fault(cause) is None and not getattr(cause, "sqlite_errorname", None):
        # Only the class: the statement's parameters may be personal.
        log.error("storage failed", error=type(cause).__name__)
    return problem_document(StorageUnavailableError())


def _answer_http_error(app: FastAPI, request: Request, error: HTTPException) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == MethodNotAllowedError.status:
        # Starlette lists the methods of one route only.
        path = request.url.path.removeprefix(request.scope["root_path"])
        headers["Allow"] = ", ".join(_allowed_methods(app, path)) or headers.get("Allow", "")
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
    return problem_document(_from_http(error), headers)


def install(
    app: FastAPI,
    *,
    storage: Collection[type[Exception]] = (),
    before_answer: Callable[[Request, Problem], None] = lambda _request, _problem: None,
) -> None:
    """Make *app* answer every error with a problem document.

    Args:
        app: the application.
        storage: further errors that mean that stored data cannot be used now.
        before_answer: called with each problem before it is answered, after the request's transaction was rolled back.
    """

    @app.exception_handler(Problem)
    def _problem(request: Request, error: Problem) -> JSONResponse:
        before_answer(request, error)
        return problem_document(error)

    @app.exception_handler(RequestValidationError)
    def _validation(_request: Request, error: RequestValidationError) -> JSONResponse:
        return problem_document(_from_validation(error))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        return _answer_http_error(app, request, error)

    for kind in (PoolTimeoutError, DBAPIError, *storage):
        app.add_exception_handler(kind, _answer_storage_error)

    @app.exception_handler(Exception)
    def _internal(_request: Request, error: Exception) -> JSONResponse:
        log.error("fault", error=type(error).__name__)
        return problem_document(InternalError())
