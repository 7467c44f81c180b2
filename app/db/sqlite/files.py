"""Whole SQLite files: copy, rewrite and check them."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.kit.files import fsync, open_regular, refuse_irregular

BUSY_S = 10.0
SIDE_FILES = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite puts beside a database and applies when it opens that."""


def copy(source: Path, to: Path) -> None:
    """Copy a database at one moment, while others may write to it.

    In one pass: a reader keeps the write-ahead log from being emptied, so it must be short.
    """
    create_private(to)
    with _opened(source, "PRAGMA query_only=1") as original, _opened(to) as copied:
        original.backup(copied, pages=-1)


def compact(source: Path, to: Path) -> None:
    """Rewrite a database that no other process uses, without unused space and without side files."""
    create_private(to)
    with _opened(source) as original:
        # As bytes: a path need not be UTF-8. An absolute path: SQLite takes one that begins with `file:` as a URI.
        original.execute("VACUUM INTO CAST(? AS TEXT)", (bytes(to.absolute()),))
    fsync(to)


def find_damage(path: Path) -> list[str]:
    """Check each page, index and foreign key of a database; return the first faults."""
    with _opened(path, "PRAGMA query_only=1") as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    return [fault for fault in found if fault != "ok"] + (
        [] if broken is None else [f"foreign key violation in {broken[0]}"]
    )


def merge_side_files(path: Path) -> None:
    """Move the whole content of a database into its one file, and remove its side files.

    Raises:
        sqlite3.OperationalError: another process has it open.
    """
    with _opened(path) as connection:
        mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
    if mode != "delete":
        raise sqlite3.OperationalError("database is locked")


def query_value(path: Path, query: str) -> object:
    """Return the one value that *query* selects; None without a row."""
    with _opened(path, "PRAGMA query_only=1") as connection:
        row = connection.execute(query).fetchone()
    return None if row is None else row[0]


def sha256(path: Path) -> str:
    """Return the digest of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def refuse_links(path: Path) -> None:
    """Refuse a database of which one file is a symbolic link, a device or a pipe.

    Raises:
        UnsafeFileError: it is.
    """
    for file in (path, *(path.with_name(path.name + suffix) for suffix in SIDE_FILES)):
        refuse_irregular(file)


def create_private(path: Path) -> None:
    """Create an empty file that only its owner can read.

    Raises:
        FileExistsError: it exists.
    """
    open_regular(path, "xb").close()


@contextmanager
def _opened(path: Path, *pragmas: str) -> Iterator[sqlite3.Connection]:
    # `mode=rw`: a wrong path is an error, not a new database.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)) as connection:
        for pragma in pragmas:
            connection.execute(pragma)
        yield connection
