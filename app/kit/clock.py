"""The wall clock. No other module reads it: rules get `now` as an argument."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present instant in UTC. Tests pass a clock that they can move."""


def utc_now() -> datetime:
    """Return the present instant, in UTC."""
    return datetime.now(UTC)
