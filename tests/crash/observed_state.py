"""The state of a service, over HTTP and in its files, and the invariants of the files.

Two runs of one operation differ only in random values, so all new random values count as equal. Of a time only the day
counts, because an end that a restart completes is dated by its tombstone.
"""

import json
import re
from base64 import b64decode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID
from zlib import crc32

from app.comparisons import enumeration_guard
from app.vault import authenticity
from app.vault.directory_lock import STAGE
from tests.crash import log_files
from tests.crash.key_and_backup_files import keks, keys_and_backup, tables_of
from tests.crash.preparations import Story
from tests.support.byte_scan import SEALED, Needles, files_under, live_keys, openable, owners, rows
from tests.support.toy_faces import toy_photo

DATA, REGISTER = "data/mien.db", "keys/register.db"
LEAF_TABLES = {
    DATA: ("pending_leaves", "seen_heads"),
    REGISTER: ("log_tiles", "log_leaves", "log_heads", "log_open_entries"),
}
"""Tables with the places of leaves; `log_files` reads them."""
_RANDOM = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{32,}\b|(?<![\w-])[\w-]{22,}(?![\w-])")
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[T ]\d\d:\d\d:\d\d\S*")
TRIES = {"attempts", "tries", "last_tried_at"}
"""The number of delivery attempts: each is counted before it is made."""
_SHORT = 200
"""Bytes. Longer sealed values are searched piece by piece, shorter ones as a whole."""


def over_http(story: Story) -> dict[str, Any]:
    """Send every read request of every caller. The recovery codes come last, because a valid one changes the state."""
    state: dict[str, Any] = {}
    for name, person in story.people.items():
        # The document is complete, and does not depend on the token that was used.
        access = person("GET", "/v1/me/access")
        held = access.json().get("data")
        for receipt in (held or {}).get("receipts", ()):
            # The length of its proof depends on the random place of its leaf.
            receipt["content"]["bytes"] = None
        for token in (held or {}).get("tokens", ()):
            # Maintenance records the use by these requests at some later time; `stored` has the earlier day.
            token["last_used_on"] = None
        state[f"{name} access"] = [access.status_code, held]
    for door, reference, face in story.references:
        verified = story.doors[door].verify(reference, toy_photo(face))
        state[f"{door} verifies {face}"] = [verified.status_code, verified.json()]
    for door, party in story.doors.items():
        answer = party("GET", "/v1/relying-party/subjects")
        state[door] = [answer.status_code, answer.json()]
    if "erasure" in story.about:
        state["erasure"] = story.ada.client.get(f"/v1/erasures/{story.about['erasure']}").json()
        if receipt := state["erasure"].get("receipt"):
            # It has a proof only after the next batch.
            state["erasure"]["receipt"] = log_files.unsigned(receipt)
    for name, person in story.people.items():
        recovered = person.client.post("/v1/recoveries", json={"recovery_code": person.recovery_code})
        state[f"{name} recovers"] = recovered.status_code
    return state


@dataclass(frozen=True)
class Stored:
    """The content of the files."""

    tables: dict[str, list[dict[str, Any]]]
    files: dict[str, Any]
    """Key-encryption keys and the backup."""
    keys: dict[tuple[bytes, int], bytes]
    """Every wrapped key of the register, by owner and generation."""
    keks: frozenset[bytes]
    """Every key-encryption key."""
    sealed: frozenset[bytes]
    """Every sealed value."""
    spare: frozenset[tuple[bytes, int]]
    """Unused keys: their process died between issuing and using them."""
    unopened: list[str]
    """Sealed values that no key opens."""
    log: log_files.Log


LOST = Stored(
    {}, {}, {}, frozenset(), frozenset(), frozenset(), [], log_files.Log((), {}, frozenset(), frozenset(), ())
)
"""The content when the data store is lost."""


def stored(root: Path) -> Stored:
    """Read both databases without the service."""
    opened = openable(root / DATA, live_keys(root))
    tables = {f"{path}: {table}": found for path in (DATA, REGISTER) for table, found in tables_of(root / path).items()}
    # A destroyed key leaves its slot in the register; only living keys count.
    del tables[f"{REGISTER}: keys"]
    # A failure with an unusable reference is counted before the refusal is recorded.
    del tables[f"{DATA}: failed_references"]
    for row in tables[f"{REGISTER}: origin"]:
        # The files show the key-encryption key in use.
        row["kek_id"] = row["proof"] = None
    log = log_files.read(root, opened)
    for path, names in LEAF_TABLES.items():
        for name in names:
            del tables[f"{path}: {name}"]
    tables["open entries"] = log.open_records()
    unopened, sealed = [], set()
    for table, column in SEALED.items():
        for row in tables[f"{DATA}: {table}"]:
            if row[column] is not None:
                sealed.add(row[column])
                unopened += [] if (table, UUID(row["id"])) in opened else [f"{table} {row['id']}"]
                row[column] = _decoded(opened.get((table, UUID(row["id"]))))
    for row in tables[f"{DATA}: receipts"]:
        row["sealed"] = row["sealed"] and log_files.unsigned(row["sealed"])
    for row in tables[f"{DATA}: erasures"]:
        row["receipt"] = row["receipt"] and log_files.unsigned(json.loads(row["receipt"]))
    needed = _used_keys(root, tables)
    keys = {(owner, generation): wrapped for owner, generation, wrapped in _living_keys(root)}
    spare = frozenset(keys.keys() - needed)
    return Stored(tables, keys_and_backup(root), keys, keks(root), frozenset(sealed), spare, unopened, log)


def logged(root: Path) -> log_files.Log:
    """Return the transparency log, whether or not its records open."""
    return log_files.read(root, openable(root / DATA, live_keys(root))) if (root / DATA).exists() else LOST.log


def _living_keys(root: Path) -> list[tuple[bytes, int, bytes]]:
    """Return every key that is not destroyed, with those of the log: owner, generation, wrapped key."""
    found = rows(root / REGISTER, "SELECT owner, generation, wrapped FROM keys ORDER BY slot")
    return [(owner, generation, wrapped) for owner, generation, wrapped in found if any(wrapped)]


def _decoded(plain: bytes | None) -> Any:
    """Return an opened value in a form that can be compared: text unchanged, all else as a digest."""
    try:
        return json.loads(plain or b"null")
    except ValueError:
        return f"{len(plain or b'')} bytes: {crc32(plain or b'')}"


def _used_keys(root: Path, tables: dict[str, list[dict[str, Any]]]) -> set[tuple[bytes, int]]:
    """Return the keys in use: those that seal a value, and the newest key of each owner without a sealed value."""
    needed: dict[bytes, set[int]] = {}
    for table in ("templates", "photos"):
        for row in tables[f"{DATA}: {table}"]:
            needed.setdefault(_owner("grant", UUID(row["grant_id"])), set()).add(row["key_generation"])
    living: dict[bytes, int] = {owner: generation for owner, generation, _ in _living_keys(root)}
    signing = [row for row in tables[f"{REGISTER}: log_signing_keys"] if row["retired_at"] is None]
    for row in [*tables[f"{REGISTER}: origin"], *signing]:
        needed[_owner("log", UUID(row["id"]))] = {1}
    # In use even while no failure is counted.
    needed[enumeration_guard.KEY_OWNER.digest] = {1}
    needed[authenticity.KEY_OWNER.digest] = {1}
    for owner in owners(root / DATA):
        needed.setdefault(owner, {living.get(owner, 1)})
    return {(owner, generation) for owner, generations in needed.items() for generation in generations}


def _owner(kind: str, one: UUID) -> bytes:
    return sha256(f"owner:{kind}:{one}".encode()).digest()


def faults(root: Path, now: Stored, before: Stored) -> list[str]:
    """Return violations of the invariants."""
    found = [f"{one} has no key" for one in now.unopened]
    found += ["a stage is left"] if (root / "data" / STAGE).exists() else []
    found += ["a key outlives the values that it sealed"] * len(now.spare & (before.keys.keys() - before.spare))
    found += log_files.faults(root, now.log, before.log, now.tables)
    living = {owner for owner, _, _ in _living_keys(root)}
    found += [f"{kind} {one} has no key" for owner, (kind, one) in owners(root / DATA).items() if owner not in living]
    stones = {digest for (digest,) in rows(root / REGISTER, "SELECT digest FROM tombstones")}
    for path in (DATA, REGISTER):
        found += [f"{path}: {row}" for row in rows(root / path, "PRAGMA integrity_check") if row != ("ok",)]
        found += [f"{path}: {row}" for row in rows(root / path, "PRAGMA foreign_key_check")]
    for kind, table in (("subject", "subjects"), ("grant", "grants"), ("token", "tokens")):
        there = {row["id"] for row in now.tables[f"{DATA}: {table}"]}
        for one in there | {row["id"] for row in before.tables.get(f"{DATA}: {table}", [])}:
            if sha256(f"tombstone:{kind}:{UUID(one)}".encode()).digest() in stones:
                found += [f"{kind} {one} ended, but has a row"] if one in there else []
                found += [f"{kind} {one} ended, but has a key"] if _owner(kind, UUID(one)) in living else []
    return found


def bytes_left(root: Path, now: Stored, before: Stored, *, sealed_bytes_stay: bool) -> list[str]:
    """Search every file but backups for destroyed keys and, unless *sealed_bytes_stay*, for bytes that they sealed."""
    needles = Needles()
    gone = {
        "wrapped key": set(before.keys.values()) - set(now.keys.values()),
        "key-encryption key": {form for kek in before.keks - now.keks for form in (kek, b64decode(kek))},
    }
    if not sealed_bytes_stay:
        gone["sealed bytes"] = set(before.sealed - now.sealed)
    for name, values in gone.items():
        for value in values:
            _ = needles.raw(name, value) if len(value) < _SHORT else needles.photo(name, value)
    return needles.found(files_under(root / "data", root / "keys")) if needles.spellings else []


def known(stored: Stored) -> set[str]:
    """Return every value of the tables and files as a string; ids also with hyphens."""
    everything = (value for table in stored.tables.values() for row in table for value in row.values())
    values = {value for value in everything if not isinstance(value, dict | list)}
    if stored.files:
        values |= {*stored.files["kek"]["files"].values(), *stored.files["kek"]["in use"]}
    texts = {value.hex() if isinstance(value, bytes) else str(value) for value in values}
    return texts | {str(UUID(text)) for text in texts if re.fullmatch("[0-9a-f]{32}", text)}


def comparable(value: Any, known: set[str]) -> Any:
    """Return *value* without the parts that differ between two runs of one operation."""
    if isinstance(value, dict):
        return {key: None if key in TRIES else comparable(one, known) for key, one in value.items()}
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
    """Return the differences of two comparable states, each with its place."""
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = sorted(found.keys() | expected.keys())
        return [one for key in keys for one in differences(found.get(key), expected.get(key), f"{where}/{key}")]
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = zip(found, expected, strict=True)
        return [one for place, pair in enumerate(pairs) for one in differences(*pair, f"{where}/{place}")]
    return [] if found == expected else [f"{where}: {found} instead of {expected}"]
