"""The storage faults that an operator can act on: the driver's name of each, and the next step."""

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


def explain_fault(error: BaseException | None) -> tuple[str, str]:
    """Do as `describe_fault`, and send the operator to the log for any other error."""
    return describe_fault(error) or (type(error).__name__, "read the application log")
