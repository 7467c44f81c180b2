"""Faults of a store, logged when they begin, at intervals while they last, and when they end.

A full disk fails every request; a line for each would bury the one that says what to do. What is told is SQLite's own
name of the fault: its text may hold anything, the name never does.
"""

import threading
import time
from dataclasses import dataclass
from sqlite3 import Error as SqliteError

import structlog

AGAIN_S = 60.0
"""Seconds after which a fault that lasts is logged again."""
MEANS = {
    "SQLITE_FULL": "the disk is full: make room",
    "SQLITE_READONLY": "the file or its disk cannot be written: look at its mount and its owner",
    "SQLITE_IOERR": "the disk fails: look at the system's log",
    "SQLITE_CANTOPEN": "the file cannot be opened: look at its directory",
    "SQLITE_BUSY": "somebody holds the file for longer than MIEN_SQLITE_BUSY_S: look for other programs that use it",
    "SQLITE_LOCKED": "somebody holds the file for longer than MIEN_SQLITE_BUSY_S: look for other programs that use it",
    "SQLITE_INTERRUPT": "a read took too long and was ended, so that no erasure waits for it",
    "SQLITE_CORRUPT": "the file is damaged: stop, and restore it from a backup",
    "SQLITE_NOTADB": "the file is damaged: stop, and restore it from a backup",
    "SQLITE_NOMEM": "there is no memory left",
}
"""What each fault tells an operator. Others are faults of the program or of a request, and not told here."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Lasting:
    told_at: float
    since: int = 0


class Trouble:
    """The faults that one store has now."""

    def __init__(self, store: str) -> None:
        self._store = store
        self.telling = False
        """Whether anybody reads the log: a service. A command says itself why it cannot go on."""
        self._lasting: dict[str, _Lasting] = {}
        self._lock = threading.Lock()

    def met(self, error: BaseException | None) -> None:
        """Note that *error* came; say so if it is new, or was not told for a while."""
        name = getattr(error, "sqlite_errorname", None) or ""
        # An extended name begins with the name of what it is a case of: SQLITE_IOERR_FSYNC.
        primary = "_".join(name.split("_")[:2])
        if not self.telling or not isinstance(error, SqliteError) or primary not in MEANS:
            return
        now = time.monotonic()
        with self._lock:
            known = self._lasting.get(name)
            if known is not None and now < known.told_at + AGAIN_S:
                known.since += 1
                return
            since = 0 if known is None else known.since + 1
            self._lasting[name] = _Lasting(now)
        log.error("storage fails", store=self._store, error=name, means=MEANS[primary], times_since=since)

    def over(self) -> None:
        """Note a successful write, and log the end of a fault if there was one."""
        if not self._lasting:
            return
        with self._lock:
            names, self._lasting = sorted(self._lasting), {}
        if names:
            log.warning("storage works again", store=self._store, after=names)
