"""Errors as problem documents (RFC 9457): the only place where an error meets HTTP."""

from collections.abc import Callable, Collection
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit.errors import InvalidRequestError, NotFoundError, Problem

MOST_FAULTS = 50
"""Named in one answer: a body can hold a million fields that are not ours."""
TYPE = "urn:mien:problem:"
log = structlog.get_logger()


class TooLargeError(Problem):
    """The body, or one file in it, is over its limit."""

    status = 413
    slug = "too-large"
    title = "Too large"
    detail = (
        "Send less: by default an image may have 12 MiB, an enrolment 61 MiB, JSON 256 KiB and any other body 13 MiB."
    )


class RequestTimeoutError(Problem):
    """The body came too slowly."""

    status = 408
    slug = "request-timeout"
    title = "Request timeout"
    detail = "Your request took too long to arrive, and nothing was kept. Try again, over a faster line or with less."
    headers: ClassVar[dict[str, str]] = {"Connection": "close"}


class MalformedRequestError(InvalidRequestError):
    """What came is no HTTP, or it is in doubt where it ends."""

    status = 400
    detail = "This is not HTTP as RFC 9112 has it. Correct what `errors` says, on a new connection."

    def __init__(self) -> None:
        """Say so of the whole request: a parser that gave up knows no more."""
        super().__init__(("", "The request line, a header or the framing of the body is malformed"))


class MethodNotAllowedError(Problem):
    """There is such an address, but not with this method."""

    status = 405
    slug = "method-not-allowed"
    title = "Method not allowed"
    detail = "Use one of the methods that the header `Allow` names."


class StorageUnavailableError(Problem):
    """The database could not be read or written."""

    status = 503
    slug = "storage-unavailable"
    title = "Storage unavailable"
    detail = (
        "Nothing new was stored. What you asked to end may have ended all the same, and is then finished by itself. "
        "Try again in a moment; if it stays, the operator has to look at the disk."
    )
    headers: ClassVar[dict[str, str]] = {"Retry-After": "5"}


class InternalError(Problem):
    """A fault of ours."""

    status = 500
    slug = "internal-error"
    title = "A fault of ours"
    detail = "This is a fault of the service, not of your request. It has been logged without your data."


def document(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """Write *problem* as `application/problem+json`."""
    content: dict[str, Any] = {
        "type": TYPE + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.text,
        **problem.members,
    }
    return JSONResponse(
        content,
        status_code=problem.status,
        headers={"Cache-Control": "no-store", **problem.answer_headers, **(headers or {})},
        media_type="application/problem+json",
    )


def _fault(error: Any) -> tuple[str, str]:  # noqa: ANN401 - pydantic's own form
    """Return a JSON pointer and a reason. The rejected value is left out: it may be personal."""
    # The first part says where FastAPI looked (body, query, path); the rest is the field.
    parts = [] if error["type"] == "json_invalid" else error["loc"][1:]
    reason = error["msg"]
    if "UploadFile" in reason:
        reason = "Send this part as a file, with a filename"
    return "".join(f"/{_escaped(part)}" for part in parts), reason


def _escaped(part: object) -> str:
    """Write one part of a JSON pointer (RFC 6901, 3): a field's name may hold what separates parts."""
    return str(part).replace("~", "~0").replace("/", "~1")


def _invalid(error: RequestValidationError) -> Problem:
    faults = error.errors()
    if any(fault["loc"][0] == "path" for fault in faults):
        # An id that cannot be one is an address where nothing is.
        return NotFoundError()
    return InvalidRequestError(*map(_fault, faults[:MOST_FAULTS]))


def _from_http(error: HTTPException) -> Problem:
    known: dict[int, type[Problem]] = {404: NotFoundError, 405: MethodNotAllowedError, 413: TooLargeError}
    if error.status_code in known:
        return known[error.status_code]()
    return InvalidRequestError(("", str(error.detail)))


def _methods_at(app: FastAPI, path: str) -> list[str]:
    methods = {
        method.upper()
        for template, operations in app.openapi()["paths"].items()
        if compile_path(template)[0].match(path)
        for method in operations
    }
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


class Faults:
    """ASGI middleware: a fault of ours is answered inside the others, so that it is logged and counted as any answer.

    The framework answers outside of all of them: without a request id, without CORS, and to the log without a status.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and answer what goes wrong if no answer has begun."""
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            if begun and isinstance(error.__cause__, Problem):
                # As when the person is erased while their export is sent. What lacks its end is closed by the server.
                log.warning("answer broken off", problem=error.__cause__.slug)
                return
            log.error("fault", error=type(error).__name__)
            if begun or scope["type"] != "http":
                raise
            await document(InternalError())(scope, receive, send)


def _storage(_request: Request, error: Exception) -> JSONResponse:
    # What ails the store it has said itself, once for all requests (`kit.trouble`).
    cause = getattr(error, "orig", error)
    if not getattr(cause, "sqlite_errorname", None):
        # Only the class: the statement's parameters may be personal.
        log.error("storage failed", error=type(cause).__name__)
    return document(StorageUnavailableError())


def install(
    app: FastAPI,
    *,
    storage: Collection[type[Exception]] = (),
    met: Callable[[Request, Problem], None] = lambda _request, _problem: None,
) -> None:
    """Let *app* answer every error with a problem document.

    Args:
        app: what answers.
        storage: further errors that say that what is stored cannot be used now.
        met: told of each problem before it is answered, when what it ended was rolled back.
    """

    @app.exception_handler(Problem)
    def _problem(request: Request, error: Problem) -> JSONResponse:
        met(request, error)
        return document(error)

    @app.exception_handler(RequestValidationError)
    def _validation(_request: Request, error: RequestValidationError) -> JSONResponse:
        return document(_invalid(error))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == MethodNotAllowedError.status:
            # The framework names the methods of one route only.
            headers["Allow"] = ", ".join(_methods_at(app, request.url.path)) or headers.get("Allow", "")
        return document(_from_http(error), headers)

    for kind in (PoolTimeoutError, DBAPIError, *storage):
        app.add_exception_handler(kind, _storage)

    @app.exception_handler(Exception)
    def _own_fault(_request: Request, error: Exception) -> JSONResponse:
        log.error("fault", error=type(error).__name__)
        return document(InternalError())
