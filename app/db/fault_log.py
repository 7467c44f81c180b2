"""Log each storage fault once, then every 60 s until it clears: a full disk fails every request.

Only the driver's name of the fault is logged; its text may hold personal data.
"""

import threading
import time

import structlog

from app.db.faults import describe_fault

REPEAT_S = 60.0
"""Seconds after which a lasting fault is logged again."""

log = structlog.get_logger()


class FaultLog:
    """Logs the faults of one store."""

    def __init__(self, store: str) -> None:
        self._store = store
        self.enabled = False
        """Set in a running service. A command prints its own error."""
        self._lasting: dict[str, tuple[float, int]] = {}
        """By the name of the fault: when it was last logged, and how often it occurred since."""
        self._lock = threading.Lock()

    def report_fault(self, error: BaseException | None) -> None:
        """Log *error* if it is new, or was not logged for a while."""
        found = describe_fault(error) if self.enabled else None
        if found is None:
            return
        name, means = found
        now = time.monotonic()
        with self._lock:
            logged_at, since = self._lasting.get(name, (float("-inf"), -1))
            if now < logged_at + REPEAT_S:
                self._lasting[name] = logged_at, since + 1
                return
            self._lasting[name] = now, 0
        log.error("storage fails", store=self._store, error=name, means=means, times_since=since + 1)

    def report_success(self) -> None:
        """Log the end of the faults, if there were any."""
        if not self._lasting:
            return
        with self._lock:
            names, self._lasting = sorted(self._lasting), {}
        if names:
            log.warning("storage works again", store=self._store, after=names)
