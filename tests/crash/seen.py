"""The whole state of a service, as people and relying parties see it and as it lies in the files; and what never holds.

Two runs of the same differ in what is random, and in nothing else: a random value that was not there before is told
from no other. Of a time only the day counts: an ending that a restart completes is dated by its tombstone.
"""

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.bytescan import SEALED, Needles, files_under, live_keys, openable, owners, rows, slots
from tests.crash.before import Story
from tests.toy_faces import toy_photo

DATA, REGISTER = "data/mien.db", "keys/register.db"
_RANDOM = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{32,}\b|(?<![\w-])[\w-]{22,}(?![\w-])")
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[T ]\d\d:\d\d:\d\d\S*")
_PAGES = ("", "/consents", "/enrolments", "/comparisons", "/tokens")
_SHORT = 200
"""Sealed bytes are looked for piece by piece, shorter ones as a whole."""


def over_http(story: Story) -> dict[str, Any]:
    """Ask everything that can be asked, for everybody. Trying the recovery codes is last: a right one changes a lot."""
    state: dict[str, Any] = {}
    for name, person in story.people.items():
        # Of Ben, to whom nothing happens, the document says it all.
        for page in _PAGES if name.startswith("Ada") else _PAGES[:1]:
            answer = person("GET", f"/v1/me{page}")
            state[f"{name} {page}"] = [answer.status_code, answer.json()]
        access = person("GET", "/v1/me/access")
        state[f"{name} access"] = [access.status_code, access.json().get("data")]
    for door, reference, face in story.references:
        verified = story.doors[door].verify(reference, toy_photo(face))
        state[f"{door} verifies {face}"] = [verified.status_code, verified.json()]
    for door, party in story.doors.items():
        for page in ("", "/subjects"):
            answer = party("GET", f"/v1/relying-party{page}")
            state[f"{door} {page}"] = [answer.status_code, answer.json()]
    if "erasure" in story.about:
        state["erasure"] = story.ada.client.get(f"/v1/erasures/{story.about['erasure']}").json()
    for name, person in story.people.items():
        recovered = person.client.post("/v1/recoveries", json={"recovery_code": person.recovery_code})
        state[f"{name} recovers"] = recovered.status_code
    return state


@dataclass(frozen=True)
class Stored:
    """What lies in the files."""

    tables: dict[str, list[dict[str, Any]]]
    wrapped: frozenset[bytes]
    """Every key, as the register has it."""
    sealed: frozenset[bytes]
    """Every sealed value."""
    spare: frozenset[bytes]
    """Those keys that seal nothing: their process died between issuing and using them."""
    unopened: list[str]
    """Sealed values that no key opens."""


def stored(root: Path) -> Stored:
    """Read both databases past the service."""
    opened = openable(root / DATA, live_keys(root))
    tables = {f"{path}: {table}": found for path in (DATA, REGISTER) for table, found in _tables(root / path)}
    # A destroyed key leaves its place in the register behind: only the living count.
    del tables[f"{REGISTER}: keys"]
    unopened, sealed = [], set()
    for table, column in SEALED.items():
        for row in tables[f"{DATA}: {table}"]:
            if row[column] is not None:
                sealed.add(row[column])
                unopened += [] if (table, UUID(row["id"])) in opened else [f"{table} {row['id']}"]
                row[column] = "sealed"
    needed = _needed(root, tables)
    keys = {wrapped: (owner, generation) for owner, generation, wrapped in slots(root)}
    spare = frozenset(wrapped for wrapped, key in keys.items() if key not in needed)
    return Stored(tables, frozenset(keys), frozenset(sealed), spare, unopened)


def _tables(database: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        # How far numbering has come says nothing of what is there.
        which = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'sqlite_sequence'"
        names = [row[0] for row in connection.execute(which)]
        query = "SELECT * FROM {}"
        return [(name, [dict(row) for row in connection.execute(query.format(name))]) for name in names]


def _needed(root: Path, tables: dict[str, list[dict[str, Any]]]) -> set[tuple[bytes, int]]:
    """Return the keys that there is a use for: those that seal something, and the newest of who has nothing sealed."""
    needed: dict[bytes, set[int]] = {}
    for table in ("templates", "photos"):
        for row in tables[f"{DATA}: {table}"]:
            needed.setdefault(_owner("grant", UUID(row["grant_id"])), set()).add(row["key_generation"])
    living: dict[bytes, int] = {owner: generation for owner, generation, _ in slots(root)}
    for owner in owners(root / DATA):
        needed.setdefault(owner, {living.get(owner, 1)})
    return {(owner, generation) for owner, generations in needed.items() for generation in generations}


def _owner(kind: str, one: UUID) -> bytes:
    return sha256(f"owner:{kind}:{one}".encode()).digest()


def faults(root: Path, now: Stored, before: Stored) -> list[str]:
    """Name what must never be, whatever happened."""
    found = [f"{one} has no key" for one in now.unopened]
    found += ["a key outlives what it sealed"] * len(now.spare & (before.wrapped - before.spare))
    living = {owner for owner, _, _ in slots(root)}
    found += [f"{kind} {one} has no key" for owner, (kind, one) in owners(root / DATA).items() if owner not in living]
    stones = {digest for (digest,) in rows(root / REGISTER, "SELECT digest FROM tombstones")}
    for path in (DATA, REGISTER):
        found += [f"{path}: {row}" for row in rows(root / path, "PRAGMA integrity_check") if row != ("ok",)]
        found += [f"{path}: {row}" for row in rows(root / path, "PRAGMA foreign_key_check")]
    for kind, table in (("subject", "subjects"), ("grant", "grants"), ("token", "tokens")):
        there = {row["id"] for row in now.tables[f"{DATA}: {table}"]}
        for one in there | {row["id"] for row in before.tables[f"{DATA}: {table}"]}:
            if sha256(f"tombstone:{kind}:{UUID(one)}".encode()).digest() in stones:
                found += [f"{kind} {one} ended and is there"] if one in there else []
                found += [f"{kind} {one} ended and has a key"] if _owner(kind, UUID(one)) in living else []
    return found


def bytes_left(root: Path, now: Stored, before: Stored, *, noise_stays: bool) -> list[str]:
    """Search every file for the keys, and unless some may stay for the sealed bytes, of what has gone."""
    needles = Needles()
    gone = {"wrapped key": before.wrapped - now.wrapped}
    if not noise_stays:
        gone["sealed bytes"] = before.sealed - now.sealed
    for name, values in gone.items():
        for value in values:
            _ = needles.raw(name, value) if len(value) < _SHORT else needles.photo(name, value)
    return needles.found(files_under(root)) if needles.spellings else []


def known(stored: Stored) -> set[str]:
    """Return every value in the tables as a string; ids also as they are written for people."""
    values = {value for table in stored.tables.values() for row in table for value in row.values()}
    texts = {value.hex() if isinstance(value, bytes) else str(value) for value in values}
    return texts | {str(UUID(text)) for text in texts if re.fullmatch("[0-9a-f]{32}", text)}


def comparable(value: Any, known: set[str]) -> Any:
    """Return *value* without what differs between two runs of the same."""
    if isinstance(value, dict):
        return {key: comparable(one, known) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return sorted((comparable(one, known) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    if isinstance(value, bytes):
        value = value.hex()
    if isinstance(value, str):
        if instant := _INSTANT.fullmatch(value):
            return instant[1]
        return _RANDOM.sub(lambda found: found[0] if found[0] in known else "random", value)
    return value


def differences(found: Any, expected: Any, where: str = "") -> list[str]:
    """Say where two comparable states differ."""
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = sorted(found.keys() | expected.keys())
        return [one for key in keys for one in differences(found.get(key), expected.get(key), f"{where}/{key}")]
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = zip(found, expected, strict=True)
        return [one for place, pair in enumerate(pairs) for one in differences(*pair, f"{where}/{place}")]
    return [] if found == expected else [f"{where}: {found} instead of {expected}"]
