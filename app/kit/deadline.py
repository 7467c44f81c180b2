"""Deadlines, measured by the monotonic clock."""

import time


class Deadline:
    """So many seconds from now."""

    def __init__(self, within_s: float) -> None:
        self._until = time.monotonic() + within_s

    def left(self) -> float:
        """Return the seconds that are left; none or fewer when it is over."""
        return self._until - time.monotonic()
