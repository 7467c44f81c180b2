"""Close the routes that register, enrol or compare while a live requirement is missing.

Routes that serve a person's rights, or that end something, never have this check.
"""

import threading
import time
from collections.abc import Callable

from app.kit.errors import Problem

CACHE_S = 5.0
"""Seconds the result is cached; the configuration rarely changes."""


class NotReadyError(Problem):
    """A live requirement is missing, so the service must not register, enrol or compare anyone."""

    status = 503
    slug = "not-ready"
    title = "Not ready to serve people"
    detail = (
        "The operator has not completed the setup yet; `GET /readyz` lists the missing items. Until then no person is "
        "registered, enrolled or compared. You can still read, export, withdraw, restrict and erase your data."
    )


class LiveGate:
    """Caches whether all live requirements are met. Thread-safe."""

    def __init__(self, is_complete: Callable[[], bool]) -> None:
        self._is_complete = is_complete
        self._lock = threading.Lock()
        self._open = False
        self._valid_until = 0.0

    def check(self) -> None:
        """Return if all live requirements are met.

        Raises:
            NotReadyError: one is missing.
        """
        with self._lock:
            if time.monotonic() >= self._valid_until:
                self._open = self._is_complete()
                self._valid_until = time.monotonic() + CACHE_S
            if not self._open:
                raise NotReadyError
