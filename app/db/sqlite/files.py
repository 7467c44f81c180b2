"""Whole SQLite files: copied while others write, written anew, checked, and made to last."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

BUSY_S = 10.0
SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite may put beside a database, to be applied to it when it is opened next."""


def copy(source: Path, to: Path) -> None:
    """Copy a database that others may be writing to, as it is at one moment.

    In one go, so that the source is read for as short as can be: a reader keeps its write-ahead log from being emptied.
    """
    private(to)
    with _opened(source, "PRAGMA query_only=1") as original, _opened(to) as copied:
        original.backup(copied, pages=-1)


def compact(source: Path, to: Path) -> None:
    """Rewrite a database that no other process uses: one file, without unused space and without files beside it."""
    private(to)
    with _opened(source) as original:
        original.execute("VACUUM INTO ?", (str(to),))
    synced(to)


def faults(path: Path) -> list[str]:
    """Check each page, index and foreign key of a database; return the first faults."""
    with _opened(path, "PRAGMA query_only=1") as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    return [one for one in found if one != "ok"] + (
        [] if broken is None else [f"a row of {broken[0]} hangs in the air"]
    )


def single(path: Path) -> None:
    """Bring everything of a database into its one file, with none beside it.

    Raises:
        sqlite3.OperationalError: somebody else has it open.
    """
    with _opened(path) as connection:
        mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
    if mode != "delete":
        raise sqlite3.OperationalError("database is locked")


def value(path: Path, query: str) -> object:
    """Return the one value that *query* asks a database for; None if there is none."""
    with _opened(path, "PRAGMA query_only=1") as connection:
        row = connection.execute(query).fetchone()
    return None if row is None else row[0]


def private(path: Path) -> None:
    """Make an empty file for its owner only.

    Raises:
        FileExistsError: there is one.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def synced(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _opened(path: Path, *pragmas: str) -> Iterator[sqlite3.Connection]:
    # Never made by opening it: a mistaken name is an error, not an empty database.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)) as connection:
        for pragma in pragmas:
            connection.execute(pragma)
        yield connection
