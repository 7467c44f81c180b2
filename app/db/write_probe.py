"""A trial write whose result is kept for a moment, so that many callers of `/readyz` cost no more than one."""

import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError

from app.db.faults import explain_fault

PROBE_S = 1.0
"""Seconds for which the result is kept."""


class WriteProbe:
    """Tries to write to the database *name*. Thread-safe.

    Args:
        name: the name of the database, for the operator.
        write: writes without changing anything, and raises the driver's error.
    """

    def __init__(self, name: str, write: Callable[[], None]) -> None:
        self._name, self._write = name, write
        self._lock = threading.Lock()
        self._result: tuple[float, str | None] = (float("-inf"), None)

    def find_fault(self) -> str | None:
        """Return the reason for the operator if the database takes no write."""
        with self._lock:
            made_at, fault = self._result
            if time.monotonic() >= made_at + PROBE_S:
                fault = self._try()
                self._result = time.monotonic(), fault
        return fault

    def _try(self) -> str | None:
        try:
            self._write()
        except DBAPIError as error:
            name, means = explain_fault(error.orig)
            # Another writer is at work, so the database takes writes.
            busy = name.startswith("SQLITE_BUSY") or name == "LockNotAvailable"
            return None if busy else f"{self._name} takes no write ({name}): {means}"
        return None
