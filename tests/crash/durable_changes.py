"""Durable changes between two moments, read from the files alone, without the program and without SQLite.

A commit is a frame in the write-ahead log with the new size of the database; all frames of one log share its salt
(https://www.sqlite.org/fileformat2.html#the_write_ahead_log). Emptying that log moves commits to the database, and
changes no value that a reader sees. Every other file counts by its name and its bytes. A directory that is renamed
when it is complete counts as one change; temporary files in it do not count.
"""

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

_LOG_HEADER = 32
_FRAME_HEADER = 24
_UNREAD = re.compile(r"(^|/)(restoring|\.[^/]*\.unfinished|([a-z]+\.)?lock|[a-z]+\.ballast)(/|$)")
"""Temporary files of a backup or a restore, which the next one removes, empty lock files, and kept disk space."""
_BESIDE = ("-wal", "-shm", "-journal")
"""Side files of a database: the write-ahead log is read with it, and the others hold nothing durable."""


_NO_FILE: tuple[frozenset[str], bytes] = (frozenset(), b"")
_ABOUT_ITSELF = (slice(18, 20), slice(24, 28), slice(92, 96))
"""Header bytes of a database that change with its journal mode, and count the writes without a write-ahead log."""


@dataclass(frozen=True)
class Database:
    """One database and its write-ahead log."""

    inode: int
    salt: bytes
    """Salt of the write-ahead log; empty without a log."""
    commits: int
    """Commits in the write-ahead log."""
    content: bytes
    """Digest of every page as a reader sees it."""


@dataclass(frozen=True)
class Snapshot:
    """Everything durable below a directory."""

    databases: dict[str, Database]
    files: dict[int, tuple[frozenset[str], bytes]]
    """Every other file, by its inode: its names and its digest."""
    directories: dict[int, str]


def snapshot(root: Path) -> Snapshot:
    """Return the durable state of every file below *root*."""
    found = Snapshot({}, {}, {})
    for path in sorted(root.rglob("*")):
        name, inode = str(path.relative_to(root)), path.stat().st_ino
        if path.is_dir():
            found.directories[inode] = name
        if path.is_dir() or path.name.endswith(_BESIDE) or _UNREAD.search(name):
            continue
        if path.suffix == ".db":
            log = path.with_name(f"{path.name}-wal")
            found.databases[name] = _database(inode, path.read_bytes(), log.read_bytes() if log.exists() else b"")
        else:
            names, _ = found.files.get(inode, _NO_FILE)
            found.files[inode] = (names | {name}, hashlib.sha256(path.read_bytes()).digest())
    return found


def _database(inode: int, pages: bytes, log: bytes) -> Database:
    if len(log) < _LOG_HEADER:
        return Database(inode, b"", 0, _digest(bytearray(pages)))
    page_bytes, salt, commits, whole = struct.unpack(">I", log[8:12])[0], log[16:24], 0, bytearray(pages)
    waiting: dict[int, bytes] = {}
    for at in range(_LOG_HEADER, len(log), _FRAME_HEADER + page_bytes):
        number, size = struct.unpack(">II", log[at : at + 8])
        if log[at + 8 : at + 16] != salt:
            break
        waiting[number] = log[at + _FRAME_HEADER : at + _FRAME_HEADER + page_bytes]
        if size:
            commits += 1
            whole = whole[: size * page_bytes].ljust(size * page_bytes, b"\0")
            for page, content in waiting.items():
                whole[(page - 1) * page_bytes : page * page_bytes] = content
            waiting.clear()
    return Database(inode, salt, commits, _digest(whole))


def _digest(whole: bytearray) -> bytes:
    for part in _ABOUT_ITSELF:
        whole[part] = bytes(len(whole[part]))
    return hashlib.sha256(whole).digest()


def effects(before: Snapshot, after: Snapshot) -> list[str]:
    """Return a name for each durable effect between two snapshots; their order is not known."""
    whole = [name for inode, name in after.directories.items() if before.directories.get(inode, name) != name]
    found = [f"{name} put in place" for name in whole]
    found += [
        effect
        for name in before.databases.keys() | after.databases.keys()
        if not _inside(name, whole)
        for effect in _on_database(name, before.databases.get(name), after.databases.get(name))
    ]
    there = {name for names, _ in after.files.values() for name in names}
    for inode in before.files.keys() | after.files.keys():
        (were, held), (are, holds) = before.files.get(inode, _NO_FILE), after.files.get(inode, _NO_FILE)
        # A file whose name another file took counts as one change: replaced, not removed too.
        made, gone = are - were, were - are - there
        if len(made) == len(were - are) == 1:
            found.append(f"{min(were - are)} renamed to {min(made)}")
        else:
            found += [f"{name} made" for name in made if not _inside(name, whole)] + [
                f"{name} removed" for name in gone
            ]
        if were & are and held != holds:
            found.append(f"{min(are)} written")
    return sorted(found)


def _inside(name: str, directories: list[str]) -> bool:
    return name.startswith(tuple(f"{directory}/" for directory in directories))


def _on_database(name: str, before: Database | None, after: Database | None) -> list[str]:
    if before is None or after is None or before.inode != after.inode:
        return [f"{name} {'removed' if after is None else 'made' if before is None else 'replaced'}"]
    if before.salt == after.salt:
        commits, emptied = after.commits - before.commits, False
    else:
        commits, emptied = after.commits, bool(before.commits)
    # A change that is in no log was committed, and then moved out of the log, between the two snapshots.
    unseen = not commits and before.content != after.content
    return [f"{name} committed"] * (commits + unseen) + [f"write-ahead log of {name} emptied"] * (emptied or unseen)
