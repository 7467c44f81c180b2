"""Log each storage fault once, then every 60 s until it clears: a full disk fails every request.

Only SQLite's name of the fault is logged; its text may hold personal data.
"""

import threading
import time
from sqlite3 import Error as SqliteError

import structlog

REPEAT_S = 60.0
"""Seconds after which a lasting fault is logged again."""
_BUSY = "another program holds the file for longer than MIEN_SQLITE_BUSY_S: find it and stop it"
_DAMAGED = "the file is damaged: stop, and restore it from a backup"
MEANINGS = {
    "SQLITE_FULL": "the disk is full: make room",
    "SQLITE_READONLY": "the file or its disk cannot be written: check its mount and its owner",
    "SQLITE_IOERR": "the disk fails: read the system's log",
    "SQLITE_CANTOPEN": "the file cannot be opened: check its directory",
    "SQLITE_BUSY": _BUSY,
    "SQLITE_LOCKED": _BUSY,
    "SQLITE_INTERRUPT": "a read took too long and was ended, so that no erasure waits for it",
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": _DAMAGED,
    "SQLITE_NOMEM": "there is no memory left",
}
"""The text for the operator. Other errors are faults of the program or of a request, and are not logged here."""

log = structlog.get_logger()


def describe_fault(name: str) -> str:
    """Return the text for the operator about an error of SQLite."""
    return MEANINGS.get(_primary(name), "read the application log")


def _primary(name: str) -> str:
    # An extended name begins with its primary name: SQLITE_IOERR_FSYNC.
    return "_".join(name.split("_")[:2])


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
        name = getattr(error, "sqlite_errorname", None) or ""
        primary = _primary(name)
        if not self.enabled or not isinstance(error, SqliteError) or primary not in MEANINGS:
            return
        now = time.monotonic()
        with self._lock:
            logged_at, since = self._lasting.get(name, (float("-inf"), -1))
            if now < logged_at + REPEAT_S:
                self._lasting[name] = logged_at, since + 1
                return
            self._lasting[name] = now, 0
        log.error("storage fails", store=self._store, error=name, means=MEANINGS[primary], times_since=since + 1)

    def report_success(self) -> None:
        """Log the end of the faults, if there were any."""
        if not self._lasting:
            return
        with self._lock:
            names, self._lasting = sorted(self._lasting), {}
        if names:
            log.warning("storage works again", store=self._store, after=names)
