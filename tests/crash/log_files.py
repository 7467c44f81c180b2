"""The transparency log in the files, read without the service, and its invariants."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.crash.key_and_backup_files import tables_of
from tests.support.byte_scan import keys_of_the_log, live_keys, openable, rows

DATA, REGISTER = "data/mien.db", "keys/register.db"
HASH, GUARD = 32, 28
"""Bytes of a leaf, and of its guard: a seal without content."""
ACTS = (
    ("comparisons", "id", "entries"),
    ("templates", "entry_id", "entries"),
    ("consent_events", "id", "receipts"),
)
"""Acts that need an entry or a receipt: their table, the column with its id, and the table that has it."""
Tables = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class RecordedLeaf:
    """A leaf of the transparency log whose record still exists."""

    label: str
    leaf: bytes
    salt: bytes
    record: bytes


@dataclass(frozen=True)
class Log:
    """The transparency log."""

    tree: tuple[bytes, ...]
    """Leaves of the newest tree head, in the order of the tiles."""
    at: Mapping[bytes, int]
    """Index of each leaf, as the register has it."""
    pending: frozenset[bytes]
    """Pending leaves in the data store."""
    waiting: frozenset[bytes]
    """Pending leaves in the register: acts that changed the register only."""
    records: tuple[RecordedLeaf, ...]

    @property
    def leaves(self) -> frozenset[bytes]:
        """Return every leaf, in the tree or pending."""
        return frozenset(self.tree) | self.pending | self.waiting

    def leaf_places(self) -> dict[str, int]:
        """Return the number of leaves in each place."""
        return {
            "pending": len((self.pending | self.waiting) - self.at.keys()),
            "in the tree, with a pending row": len(self.pending & self.at.keys()),
            "in the tree": sum(one.leaf in self.at for one in self.records),
        }

    def open_records(self) -> list[dict[str, Any]]:
        """Return the records of open entries."""
        return [json.loads(one.record) for one in self.records if one.label.startswith("open ")]


def decoded(text: str) -> bytes:
    """Read base64url without padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def payload(token: str) -> bytes:
    """Return the signed bytes."""
    return decoded(token.split(".")[1])


def unsigned(bundle: Mapping[str, Any]) -> dict[str, Any]:
    """Return a receipt with decoded tokens and without its proof."""
    return {"says": json.loads(payload(bundle["jws"])), "promises": json.loads(payload(bundle["promise"]))}


def read(root: Path, opened: Mapping[tuple[str, UUID], bytes]) -> Log:
    """Read the transparency log; *opened* are the sealed values that a key opened."""
    found = rows(root / REGISTER, "SELECT max(size) FROM log_heads")
    size: int = found[0][0] or 0
    tiles = rows(root / REGISTER, "SELECT hashes FROM log_tiles WHERE level = 0 ORDER BY position")
    hashes = b"".join(one for (one,) in tiles)
    joined = rows(root / REGISTER, "SELECT leaf FROM log_open_entries WHERE NOT joined")
    return Log(
        tree=tuple(hashes[at : at + HASH] for at in range(0, HASH * size, HASH)),
        at=dict(rows(root / REGISTER, 'SELECT leaf, "index" FROM log_leaves')),
        pending=frozenset(leaf for (leaf,) in rows(root / DATA, "SELECT leaf FROM pending_leaves")),
        waiting=frozenset(leaf for (leaf,) in joined),
        records=tuple({one.leaf: one for one in _decoded(root, opened)}.values()),
    )


def _decoded(root: Path, opened: Mapping[tuple[str, UUID], bytes]) -> Iterator[RecordedLeaf]:
    for (table, row_id), plain in opened.items():
        if table == "entries":
            held = json.loads(plain)
            # The canonical form of a record.
            record = json.dumps(held["record"], sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
            salt = decoded(held["salt"])
            yield RecordedLeaf(f"entry {row_id}", sha256(b"\0" + salt + record).digest(), salt, record)
        if table == "receipts":
            yield _of_bundle(f"receipt {row_id}", json.loads(plain))
    for row_id, receipt in rows(root / DATA, "SELECT id, receipt FROM erasures WHERE receipt IS NOT NULL"):
        yield _of_bundle(f"receipt of erasure {row_id}", json.loads(receipt))
    pending = rows(root / DATA, "SELECT leaf, salt, record FROM pending_leaves WHERE record IS NOT NULL")
    for leaf, salt, record in pending + rows(root / REGISTER, "SELECT leaf, salt, record FROM log_open_entries"):
        yield RecordedLeaf(f"open entry {leaf.hex()}", leaf, salt, record.encode())


def _of_bundle(label: str, bundle: Mapping[str, Any]) -> RecordedLeaf:
    return RecordedLeaf(label, bytes.fromhex(bundle["leaf"]), decoded(bundle["salt"]), payload(bundle["jws"]))


def faults(root: Path, log: Log, before: Log, tables: Tables) -> list[str]:
    """Return the violations of the log's invariants."""
    found = [f"{one.label}: another leaf than its record's" for one in log.records if one.leaf != _leaf(one)]
    found += [f"{one.label} is not in the log" for one in log.records if one.leaf not in log.leaves]
    found += [f"leaf {one.hex()} is missing" for one in before.leaves - log.leaves]
    found += [f"leaf {one.hex()} is pending and in the tree" for one in log.waiting & log.at.keys()]
    found += ["the tree does not continue the earlier tree"] if log.tree[: len(before.tree)] != before.tree else []
    return [*found, *_acts_without(tables), *_tree(root, log), *_signers(root)]


def _leaf(one: RecordedLeaf) -> bytes:
    return sha256(b"\0" + one.salt + one.record).digest()


def _acts_without(tables: Tables) -> Iterator[str]:
    """Return the acts without an entry, and completed erasures without a receipt."""
    for table, column, kept in ACTS:
        there = {(row["id"], row["subject_id"]) for row in tables[f"{DATA}: {kept}"]}
        for row in tables[f"{DATA}: {table}"]:
            if (row[column], row["subject_id"]) not in there:
                yield f"{table} {row['id']} is not in {kept}"
    for row in tables[f"{DATA}: erasures"]:
        if (row["step"] == "completed") != (row["receipt"] is not None):
            yield f"erasure {row['id']} is {row['step']}, with receipt: {row['receipt'] is not None}"


def _tree(root: Path, log: Log) -> Iterator[str]:
    """Return the mismatches of leaves, their index, their guards, and every earlier root."""
    if {leaf: at for at, leaf in enumerate(log.tree)} != log.at or len(log.at) != len(log.tree):
        yield "the index of leaves is not that of the tiles"
    query = "SELECT size, root FROM log_heads"
    for size, records in rows(root / REGISTER, query) + rows(root / DATA, "SELECT size, root FROM seen_heads"):
        if size > len(log.tree) or root_of(log.tree[:size]) != records:
            yield f"the tree head of {size} leaves does not match"
    key = keys_of_the_log(root)[UUID(rows(root / REGISTER, "SELECT id FROM origin")[0][0])]
    tiles = rows(root / REGISTER, "SELECT guards FROM log_tiles WHERE level = 0 ORDER BY position")
    guards = b"".join(one for (one,) in tiles)
    for at, leaf in enumerate(log.tree):
        guard = guards[GUARD * at : GUARD * (at + 1)]
        try:
            key.decrypt(guard[:12], guard[12:], f"log_leaf:{at}:{leaf.hex()}".encode())
        except InvalidTag:
            yield f"the guard of leaf {at} does not match"


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root of a tree, as RFC 6962 defines it."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + root_of(leaves[:half]) + root_of(leaves[half:])).digest()


def _signers(root: Path) -> Iterator[str]:
    """Check the signing keys: one of each kind is in force and opens, retired ones do not open. Returns the faults."""
    living, in_force = keys_of_the_log(root), []
    query = "SELECT id, signs, public, sealed, retired_at FROM log_signing_keys"
    for key_id, signs, public, sealed, retired in rows(root / REGISTER, query):
        key = living.get(UUID(key_id))
        if retired is not None:
            if key is not None:
                yield f"a retired key of {signs} opens"
            continue
        in_force.append(signs)
        place = f"log_signing_keys.sealed:{UUID(key_id)}".encode()
        raw = b"" if key is None else key.decrypt(sealed[:12], sealed[12:], place)
        if not raw or Ed25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw() != public:
            yield f"the private key of {signs} does not match its public key"
    if sorted(in_force) != ["checkpoints", "events", "receipts"]:
        yield f"keys are in force for {in_force}"


def found_in(root: Path, promised: Iterable[str]) -> list[str]:
    """Return the faults of the log, and the leaves that receipts *promised* but the log lacks."""
    log = read(root, openable(root / DATA, live_keys(root)))
    tables = {f"{DATA}: {table}": found for table, found in tables_of(root / DATA).items()}
    lost = [f"leaf {leaf} is missing" for leaf in promised if bytes.fromhex(leaf) not in log.leaves]
    return faults(root, log, log, tables) + lost


def promised(answer: Mapping[str, Any]) -> set[bytes]:
    """Return the leaf that the receipt in an answer promised; empty without a receipt."""
    receipt = answer.get("receipt")
    return set() if receipt is None else {bytes.fromhex(receipt["leaf"])}
