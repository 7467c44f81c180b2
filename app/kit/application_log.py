"""The application log: one JSON object per line on standard error, without personal data."""

import logging
import sys

import structlog

log = structlog.get_logger()


def configure() -> None:
    """Write Mien's events to standard error as JSON, and the place of each library's message without its text."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    # None is the root logger, for all libraries without a name here.
    for name in (None, "uvicorn", "uvicorn.access", "uvicorn.error", "alembic", "sqlalchemy"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = False
        logger.addHandler(_Bridge())
        logger.setLevel(logging.CRITICAL if name == "uvicorn.access" else logging.WARNING)


class _Bridge(logging.Handler):
    """Log the place of a library's message; its text may hold personal data."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log.warning("library", logger=record.name, place=f"{record.module}:{record.lineno}", error=error)
