"""Log each storage fault once, then every 60 s until it clears: a full disk fails every request.

Only the driver's name of the fault is logged; its text may hold personal data.
"""

import threading
import time

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
"""The text for the operator, by SQLite's primary name. Other errors are faults of the program or of a request, and are
not logged here."""
AWAY = "the PostgreSQL server cannot be reached: see that it runs, and that the network and the address lead to it"
STATES = {
    "08": AWAY,
    "25006": "the PostgreSQL server takes no writes: name its primary, not a standby",
    "28": "the PostgreSQL server refuses the user: check name and password in the address",
    "3D": "the PostgreSQL server has no such database: create it, or correct the address",
    "42501": "the user lacks a right on the PostgreSQL server: let it own its database",
    "53100": "the disk of the PostgreSQL server is full: make room",
    "53200": "the PostgreSQL server has no memory left",
    "53300": "the PostgreSQL server has too few connections: raise max_connections",
    "55P03": "another program holds the lock of the database for longer than MIEN_SQLITE_BUSY_S: find it and stop it",
    "57014": MEANINGS["SQLITE_INTERRUPT"],
    "57P": AWAY,
    "58": "the disk of the PostgreSQL server fails: read its log",
    "XX00": "the database is damaged: stop, and restore it",
}
"""The text for the operator, by the beginning of PostgreSQL's code."""

log = structlog.get_logger()


def describe_fault(error: BaseException | None) -> tuple[str, str] | None:
    """Return the driver's name of a storage fault and the text for the operator; None for any other error."""
    if name := getattr(error, "sqlite_errorname", None):
        # An extended name begins with its primary name: SQLITE_IOERR_FSYNC.
        meaning = MEANINGS.get("_".join(name.split("_")[:2]))
    else:
        # psycopg is only there if the user chose PostgreSQL.
        name, state = type(error).__name__, getattr(error, "sqlstate", "XXXXX")
        if state is None and name == "OperationalError":
            return name, AWAY
        meaning = next((text for start, text in STATES.items() if str(state).startswith(start)), None)
    return (name, meaning) if meaning else None


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
