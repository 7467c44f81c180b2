"""Deadlines, measured by the monotonic clock."""

import time


class Deadline:
    """A point in time, given in seconds from now."""

    def __init__(self, within_s: float) -> None:
        self._until = time.monotonic() + within_s

    def left(self) -> float:
        """Return the seconds that are left: zero or negative after the deadline."""
        return self._until - time.monotonic()
