"""Invariants of the files, checked without the service: SQLite's own checks, every seal, every byte."""

import hashlib
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.machine.model import EndedItems
from tests.machine.receipts import unpadded
from tests.support.byte_scan import SEALED, Needles, files_under, live_keys, openable, rows, slots

DATA = Path("data", "mien.db")


@dataclass
class Traces:
    """The values that belong to one subject only, collected from answers."""

    ids: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    salts: set[str] = field(default_factory=set)

    def note(self, document: dict[str, Any]) -> None:
        """Add the random ids, references and name in an access document."""
        found = {document["subject_id"]}
        for table in document["data"].values():
            for row in table:
                flat = row | (row["content"] if isinstance(row.get("content"), dict) else {})
                ids = {name: one for name, one in flat.items() if name.endswith("id") and name != "relying_party_id"}
                found |= {one for one in ids.values() if one is not None}
                self.texts |= {flat[name] for name in ("subject_ref", "name") if flat.get(name)}
                self.salts |= {flat["salt"]} if "salt" in flat else set()
        self.ids |= {one for one in found if one != "toy"}

    def needles(self) -> Needles:
        """Return the values in the form that a search takes."""
        needles = Needles()
        for one in self.ids:
            needles.id("id", one)
        for one in self.texts:
            needles.text("text", one)
        for one in self.salts:
            needles.raw("salt", unpadded(one)).text("salt", one)
        return needles


def sound(root: Path) -> list[str]:
    """Let SQLite check both databases. Returns the faults."""
    found = []
    for path in (root / DATA, root / "keys" / "register.db"):
        with closing(sqlite3.connect(path)) as connection:
            found += [str(row) for row in connection.execute("PRAGMA foreign_key_check")]
            found += [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    return found


def sealed_rows(database: Path) -> set[tuple[str, UUID]]:
    """Return every row with a sealed value."""
    return {
        (table, UUID(row[0]))
        for table, column in SEALED.items()
        for row in rows(database, f"SELECT id FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608 - fixed names
    }


def shut(root: Path) -> set[tuple[str, UUID]]:
    """Return the sealed rows of the data that no living key opens: there must be none."""
    return sealed_rows(root / DATA) - set(openable(root / DATA, live_keys(root)))


def opened_though_ended(root: Path, backup: Path, ended_items: EndedItems) -> list[str]:
    """Try every living key on a backup. Returns the ended values that open (law 3)."""
    opened = openable(backup, live_keys(root, backup))
    owners = {
        (table, UUID(row[0])): str(UUID(row[1]))
        for table in SEALED
        for row in rows(backup, f"SELECT id, {'id' if table == 'subjects' else 'subject_id'} FROM {table}")  # noqa: S608 - fixed names
    }
    return [
        f"{table} {row_id}"
        for table, row_id in opened
        if owners[table, row_id] in ended_items.people or str(row_id) in ended_items.sealed
    ]


def restorations(root: Path) -> int:
    """Return the number of restores that the data records."""
    return int(rows(root / DATA, "SELECT count(*) FROM restorations")[0][0])


def keys_of_ended(root: Path, ended_items: EndedItems) -> int:
    """Return the number of keys in the register for ended consents and erased subjects (law 3)."""
    ended = [f"owner:grant:{one}" for one in ended_items.grants] + [
        f"owner:subject:{one}" for one in ended_items.people
    ]
    digests = {hashlib.sha256(one.encode()).digest() for one in ended}
    return sum(owner in digests for owner, _, _ in slots(root))


class Keys:
    """Every wrapped key that the register has had."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: set[bytes] = set()

    def look(self) -> None:
        """Add the current keys."""
        self._seen |= {wrapped for _, _, wrapped in slots(self._root)}

    def left(self) -> int:
        """Return the number of keys that the register has no more, but some file still has."""
        gone = self._seen - {wrapped for _, _, wrapped in slots(self._root)}
        files = [content for _, content in files_under(self._root)]
        return sum(any(wrapped in content for content in files) for wrapped in gone)


def left_of(traces: Iterable[Traces], root: Path, log: Path) -> list[str]:
    """Search every file and the application log of the service for the values of erased subjects."""
    places = [*files_under(root), (log, log.read_bytes())]
    return [found for one in traces for found in one.needles().found(places)]
