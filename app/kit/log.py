"""Structured logs without personal data: one JSON object a line, on standard error.

A request is logged by its route's template, never by its path: paths hold ids. Nothing logs a body, a header, a query
string, an exception's text or a statement's parameters.
"""

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()


def configure() -> None:
    """Send our own events to standard error as JSON, and silence what other libraries would say of requests."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error", "alembic", "sqlalchemy"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = False
        logger.addHandler(_Bridge())
        logger.setLevel(logging.CRITICAL if name == "uvicorn.access" else logging.WARNING)


class _Bridge(logging.Handler):
    """Say that a library complained and where, not what: its text may hold anything."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log.warning("library", logger=record.name, place=f"{record.module}:{record.lineno}", error=error)


class RequestLog:
    """ASGI middleware: one line for each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and log its route, status and duration."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            log.info("request", method=scope["method"], route=_template(scope), status=status, ms=milliseconds)


def _template(scope: MutableMapping[str, Any]) -> str | None:
    route = scope.get("route")
    return None if route is None else getattr(route, "path", None)
