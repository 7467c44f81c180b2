"""Log each request in one line of the application log, without personal data.

A request is logged with its route template, because paths hold ids. No entry holds a body, a header, a query string, an
exception's text or a statement's parameters.
"""

import hashlib
import re
import time
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from app.web.metrics import Metrics
from app.web.problems import SLUG

REQUEST_ID = "X-Request-Id"
TRACEPARENT = "traceparent"
_TRACEPARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

log = structlog.get_logger()


class RequestLog:
    """ASGI middleware: log each request in one line, under a random id that all lines of the request share.

    Every answer carries the id in `X-Request-Id`. A value that the caller sends is ignored: it could be a person's id,
    and the application log is not erased with that person. Of a valid `traceparent` only digests are logged.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and log its route, status and duration."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        request_id = uuid4().hex

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        with bound_contextvars(request_id=request_id, **_trace_digests(Headers(scope=scope))):
            try:
                await self.app(scope, receive, note_status)
            except BaseException:
                # Starlette answers it outside of this middleware.
                status = status or HTTPStatus.INTERNAL_SERVER_ERROR.value
                raise
            finally:
                seconds, route = time.perf_counter() - began, _template(scope)
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._metrics.count_request(method, route, status, seconds, scope.get("state", {}).get(SLUG))
                log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


def _template(scope: MutableMapping[str, Any]) -> str | None:
    route = scope.get("route")
    return None if route is None else getattr(route, "path", None)


def _trace_digests(headers: Headers) -> dict[str, str]:
    """Return the SHA-256 of the trace id, and of the whole header, of a valid `traceparent` (W3C Trace Context)."""
    sent = headers.getlist(TRACEPARENT)
    found = _TRACEPARENT.fullmatch(sent[0]) if len(sent) == 1 else None
    # Version 00 ends here; only a later version may have more fields.
    if found is None or (found["more"] and found["version"] == "00"):
        return {}
    named = {"trace_sha256": found["trace"], "traceparent_sha256": sent[0]}
    return {name: hashlib.sha256(value.encode()).hexdigest() for name, value in named.items()}
