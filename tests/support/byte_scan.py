"""Search the bytes of files without the service's own queries, and open sealed values with AES only.

A *needle* is a value that must be absent, in each spelling that a store, a log or a document could give it. Compressed
and encrypted content stays unseen, so every test whose scan finds nothing has a control that finds something.
"""

import base64
import hashlib
import os
import shutil
import sqlite3
import struct
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Place: TypeAlias = tuple[Path | str, bytes]
"""A searched place: its name and its bytes."""
WINDOW = 64
"""Bytes of one searched piece of a photo."""
WINDOWS = 8
_VARIED = 24
"""Different bytes that a piece must have; a piece of padding would be found in any file."""

SEALED = {
    "subjects": "sealed_name",
    "entries": "sealed",
    "receipts": "sealed",
    "templates": "sealed",
    "photos": "sealed",
    "consent_events": "sealed",
    "comparisons": "sealed",
    "deliveries": "sealed",
    "attempts": "sealed",
    "disputes": "sealed",
    "kept_answers": "sealed",
}
"""Every sealed column of the data store. `test_law_05` shows that there is no other."""


def spelled(value: bytes) -> Iterator[bytes]:
    """Spell *value* raw, in hexadecimal, and in base64 at each of the three alignments and in both alphabets."""
    yield value
    yield value.hex().encode()
    yield value.hex().upper().encode()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + value)
        # Only the characters that depend on `value` alone.
        inner = whole[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


TEMPLATE_HEADER = struct.Struct("<32sBHf")
"""Start of a template: label, version, dimensions, scale. 8-bit integers follow."""


@dataclass
class Needles:
    """Values to search for, by name."""

    spellings: dict[str, set[bytes]] = field(default_factory=dict)

    def raw(self, name: str, *values: bytes) -> "Needles":
        """Search for *values* plain, in hexadecimal and in base64."""
        forms = {form for value in values for form in spelled(value)}
        assert forms, name
        assert min(map(len, forms)) >= 8, f"{name} would be found by chance"
        self.spellings.setdefault(name, set()).update(forms)
        return self

    def text(self, name: str, value: str) -> "Needles":
        """Search for a name, a token, a code."""
        return self.raw(name, *(value.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")))

    def id(self, name: str, value: str | UUID) -> "Needles":
        """Search for an id as text, with and without dashes, and as its 16 bytes."""
        one = UUID(str(value))
        return self.raw(name, one.bytes, one.bytes_le).text(name, str(one)).text(name, one.hex)

    def vector(self, name: str, vector: Sequence[float]) -> "Needles":
        """Search for a whole template, in each width and byte order, and for its first number as text."""
        packed = [struct.pack(f"{order}{len(vector)}{width}", *vector) for order in "<>" for width in "fd"]
        scale = max(map(abs, vector)) / 127
        packed.append(struct.pack(f"{len(vector)}b", *(round(one / scale) for one in vector)))
        return self.raw(name, *packed).text(name, repr(float(vector[0])))

    def photo(self, name: str, photo: bytes) -> "Needles":
        """Search for pieces of an image file, so that a part of it is found as well as the whole."""
        step = max(1, (len(photo) - WINDOW) // (4 * WINDOWS))
        pieces = [photo[place : place + WINDOW] for place in range(0, len(photo) - WINDOW, step)]
        varied = [piece for piece in pieces if len(set(piece)) >= _VARIED]
        assert varied, name
        return self.raw(name, *varied[:: max(1, len(varied) // WINDOWS)])

    def found(self, places: Iterable[Place]) -> list[str]:
        """Return the found needles with their places."""
        # Disk space kept for endings is zeros, in which no needle can be.
        searched = [(str(name), content if content.strip(b"\0") else b"") for name, content in places]
        assert searched, "nothing was searched"
        return [
            f"{needle} in {Path(name).name}"
            for name, content in searched
            for needle, forms in self.spellings.items()
            if any(form in content or form in name.encode() for form in forms)
        ]


def files_under(*directories: Path) -> Iterator[tuple[Path, bytes]]:
    """Read every file under *directories*."""
    for directory in directories:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                yield path, path.read_bytes()


@contextmanager
def private_tmp(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Iterator[list[str]]:
    """Use *directory* for temporary files, and note each file that appears there, however briefly."""
    directory.mkdir()
    seen: list[str] = []
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def rollover(_file: object) -> None:
        seen.append("an upload was written to a file")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", rollover)
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(0.001):
            seen.extend(entry.name for entry in os.scandir(directory))

    thread = threading.Thread(target=watch)
    thread.start()
    yield seen
    stopped.set()
    thread.join()


# --- Sealed values, opened with sqlite3 and AES-GCM only, by the formats in `docs` and `seal.py`.


def rows(database: Path, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Query *database* without SQLAlchemy."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, parameters).fetchall()


def copied_data(data: Path, to: Path) -> Path:
    """Copy the database file and its write-ahead log, as a thief would; return the copy of the file."""
    shutil.copytree(data, to)
    return to / "mien.db"


@dataclass(frozen=True)
class LiveKey:
    """A key that the register still holds."""

    owner: UUID
    generation: int
    wrapped: bytes
    aead: AESGCM


def slots(root: Path) -> list[tuple[bytes, int, bytes]]:
    """Return the keys of people and consents that are not destroyed: digest of the owner, generation, wrapped key."""
    register = root / "keys" / "register.db"
    found = rows(register, "SELECT owner, generation, wrapped FROM keys ORDER BY slot")
    logs = log_owners(register)
    return [(owner, generation, wrapped) for owner, generation, wrapped in found if any(wrapped) and owner not in logs]


COUNTS = "owner:service:b1d0a9a4-5f6e-4c55-8a51-0c7d8c1be2f3"
"""Owner of the key for the references that relying parties failed with."""
AUTHENTICITY = "owner:service:5d0c2f0e-6f61-4d3c-9b6b-0a3f6b9d2c71"
"""Owner of the authentication key."""


def log_owners(register: Path) -> set[bytes]:
    """Return the owner digests of the keys of the transparency log and of the service, which no erasure destroys."""
    ids = rows(register, "SELECT id FROM origin UNION SELECT id FROM log_signing_keys")
    known = [f"owner:log:{UUID(one)}" for (one,) in ids]
    return {hashlib.sha256(one.encode()).digest() for one in (*known, COUNTS, AUTHENTICITY)}


def owners(*databases: Path) -> dict[bytes, tuple[str, UUID]]:
    """Return the kind and id of every subject and grant in *databases*, by the digest of the key's owner."""
    ids = [
        (kind, UUID(row[0]))
        for database in databases
        for kind, table in (("subject", "subjects"), ("grant", "grants"))
        for row in rows(database, f"SELECT id FROM {table}")  # noqa: S608 - names of our own
    ]
    return {hashlib.sha256(f"owner:{kind}:{one}".encode()).digest(): (kind, one) for kind, one in ids}


def live_keys(root: Path, *old: Path) -> list[LiveKey]:
    """Unwrap every key in the register whose owner is in the present data or in *old* copies of it."""
    keks = _keks(root)
    known = owners(root / "data" / "mien.db", *old)
    keys = []
    for digest, generation, wrapped in slots(root):
        if digest in known:
            _, owner = known[digest]
            raw = _unwrapped(keks, wrapped, f"key:{digest.hex()}:{generation}".encode())
            keys.append(LiveKey(owner, generation, wrapped, AESGCM(raw)))
    return keys


def keys_of_the_log(root: Path) -> dict[UUID, AESGCM]:
    """Unwrap the live keys of the transparency log, by the id of the log or of the signing key."""
    register, keks = root / "keys" / "register.db", _keks(root)
    ids = [UUID(one) for (one,) in rows(register, "SELECT id FROM origin UNION SELECT id FROM log_signing_keys")]
    known = {hashlib.sha256(f"owner:log:{one}".encode()).digest(): one for one in ids}
    return {
        known[owner]: AESGCM(_unwrapped(keks, wrapped, f"key:{owner.hex()}:{generation}".encode()))
        for owner, generation, wrapped in rows(register, "SELECT owner, generation, wrapped FROM keys")
        if owner in known and any(wrapped)
    }


def _keks(root: Path) -> list[AESGCM]:
    files = [file for file in (root / "keys" / "kek", root / "keys" / "kek.next") if file.exists()]
    return [AESGCM(base64.b64decode(file.read_text())) for file in files]


def _unwrapped(keks: Iterable[AESGCM], wrapped: bytes, context: bytes) -> bytes:
    """Unwrap with the key-encryption key that fits; a rotation has two."""
    for kek in keks:
        with suppress(InvalidTag):
            return kek.decrypt(wrapped[:12], wrapped[12:], context)
    raise InvalidTag


def openable(database: Path, keys: Iterable[LiveKey]) -> dict[tuple[str, UUID], bytes]:
    """Try all *keys* on every sealed value of *database*. Returns the values that open, by table and row id."""
    keys = list(keys)
    opened: dict[tuple[str, UUID], bytes] = {}
    for table, column in SEALED.items():
        query = f"SELECT id, {column} FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608 - names of our own
        for row_id, sealed in rows(database, query):
            place = f"{table}.{column}:{UUID(row_id)}".encode()
            for key in keys:
                try:
                    opened[table, UUID(row_id)] = key.aead.decrypt(sealed[:12], sealed[12:], place)
                except InvalidTag:
                    continue
    return opened


def template_vectors(opened: dict[tuple[str, UUID], bytes]) -> list[tuple[float, ...]]:
    """Return the vectors in a result of `openable`."""
    found = []
    for plain in (plain for (table, _), plain in opened.items() if table == "templates"):
        _, version, dimensions, scale = TEMPLATE_HEADER.unpack_from(plain)
        assert version == 1
        integers = struct.unpack_from(f"{dimensions}b", plain, TEMPLATE_HEADER.size)
        found.append(tuple(scale * one for one in integers))
    return found
