"""The only place that reads the wall clock, so that every rule can be given its `now`."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""A function that returns the present instant in UTC. Tests pass one that they can move."""


def utc_now() -> datetime:
    """Return the present instant, in UTC."""
    return datetime.now(UTC)
