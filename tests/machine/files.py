"""What must be true of the files themselves, past the service: SQLite's own checks, every seal, every byte."""

import hashlib
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.machine.model import Over
from tests.machine.receipts import unpadded
from tests.support.byte_scan import SEALED, Needles, files_under, live_keys, openable, rows, slots

DATA = Path("data", "mien.db")


@dataclass
class Traces:
    """What is somebody's and nobody else's, as it comes to be known."""

    ids: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    salts: set[str] = field(default_factory=set)

    def note(self, document: dict[str, Any]) -> None:
        """Take every random id out of a document of access, and the references and the name."""
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
        """Return them as a search takes them."""
        needles = Needles()
        for one in self.ids:
            needles.id("id", one)
        for one in self.texts:
            needles.text("text", one)
        for one in self.salts:
            needles.raw("salt", unpadded(one)).text("salt", one)
        return needles


def sound(root: Path) -> list[str]:
    """Let SQLite look through both databases; returns what it found."""
    found = []
    for path in (root / DATA, root / "keys" / "register.db"):
        with closing(sqlite3.connect(path)) as connection:
            found += [str(row) for row in connection.execute("PRAGMA foreign_key_check")]
            found += [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    return found


def sealed_rows(database: Path) -> set[tuple[str, UUID]]:
    """Return every row with a seal on it."""
    return {
        (table, UUID(row[0]))
        for table, column in SEALED.items()
        for row in rows(database, f"SELECT id FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608 - names of our own
    }


def shut(root: Path) -> set[tuple[str, UUID]]:
    """Return the sealed rows of the data that no living key opens: there must be none."""
    return sealed_rows(root / DATA) - set(openable(root / DATA, live_keys(root)))


def open_though_ended(root: Path, backup: Path, over: Over) -> list[str]:
    """Try every living key on a backup; returns what opens although it ended (law 3)."""
    opened = openable(backup, live_keys(root, backup))
    owners = {
        (table, UUID(row[0])): str(UUID(row[1]))
        for table in SEALED
        for row in rows(backup, f"SELECT id, {'id' if table == 'subjects' else 'subject_id'} FROM {table}")  # noqa: S608 - names of our own
    }
    return [
        f"{table} {row_id}"
        for table, row_id in opened
        if owners[table, row_id] in over.people or str(row_id) in over.sealed
    ]


def restorations(root: Path) -> int:
    """Count the restores that the data comes after."""
    return int(rows(root / DATA, "SELECT count(*) FROM restorations")[0][0])


def keys_of_ended(root: Path, over: Over) -> int:
    """Count the keys in the register of consents and people that ended (law 3)."""
    ended = [f"owner:grant:{one}" for one in over.grants] + [f"owner:subject:{one}" for one in over.people]
    digests = {hashlib.sha256(one.encode()).digest() for one in ended}
    return sum(owner in digests for owner, _, _ in slots(root))


class Keys:
    """Every wrapped key that was ever seen in the register."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: set[bytes] = set()

    def look(self) -> None:
        """Note those of now."""
        self._seen |= {wrapped for _, _, wrapped in slots(self._root)}

    def left(self) -> int:
        """Count those that are not in the register any more, and are in some file nevertheless."""
        gone = self._seen - {wrapped for _, _, wrapped in slots(self._root)}
        files = [content for _, content in files_under(self._root)]
        return sum(any(wrapped in content for content in files) for wrapped in gone)


def left_of(traces: Iterable[Traces], root: Path, log: Path) -> list[str]:
    """Search every file of the service, and what it logged, for what is left of people who were erased."""
    places = [*files_under(root), (log, log.read_bytes())]
    return [found for one in traces for found in one.needles().found(places)]
