"""Entries: one record of each act, committed in the transaction of the act on the data store.

The leaf of an entry is stored as *pending*, without the id of a subject, and joins the tree with a later `batch`.
An entry about no subject is an *open* entry: its record stays readable for an audit.
"""

import json
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import bindparam, delete, insert, or_, select
from sqlalchemy.orm import Session

from app.transparency.tables import EntryRow, OpenEntry, PendingLeaf, ReceiptRow
from app.transparency.verify import merkle
from app.transparency.verify.canonical_json import decode_base64url, encode_base64url, encode_json
from app.vault.authentic_rows import ForgedRowError
from app.vault.seal import KekError, Key, SealError
from app.vault.sealed_list import add_next, insert_next
from app.vault.sealing_context import sealing_context

log = structlog.get_logger()
T = TypeVar("T")
SALT_BYTES = 32
"""256 random bits: a guess of a record cannot be tested against its leaf."""

Value = str | int | bool | None
"""A value in a record. Fractions are excluded, because programs write them differently."""


class LoggedAct(StrEnum):
    """The act in a record. An act with a receipt is recorded by that receipt instead."""

    COMPARISON = "comparison"
    ENROLMENT = "enrolment"
    ENROLMENT_DELETED = "enrolment_deleted"
    TEMPLATE_RENEWED = "template_renewed"
    """A template of a new engine replaced one, made from the photos that the subject agreed to keep."""
    TEMPLATE_NOT_RENEWED = "template_not_renewed"
    """The kept photos do not suffice for the new engine: the subject has to enrol again."""
    TEMPLATE_ENDED = "template_ended"
    """Templates of a replaced engine ended on the announced day."""
    REFUSAL = "refusal"
    SWEEP_TOUCHED = "sweep_touched"
    """A relying party was stopped after it tried many references, this subject's among them."""
    SWEEP_STOPPED = "sweep_stopped"
    LOG_BEGUN = "log_begun"
    SIGNING_KEY_MADE = "signing_key_made"
    SIGNING_KEY_RETIRED = "signing_key_retired"
    SIGNING_KEY_STOLEN = "signing_key_stolen"
    KEY_ENCRYPTION_KEY_ROTATED = "key_encryption_key_rotated"
    NOTICE_PUBLISHED = "notice_published"
    NOTICE_RETIRED = "notice_retired"
    RELYING_PARTY_ADDED = "relying_party_added"
    RELYING_PARTY_DESCRIBED = "relying_party_described"
    RELYING_PARTY_KEY_ROTATED = "relying_party_key_rotated"
    RELYING_PARTY_KEY_ENDED = "relying_party_key_ended"
    RELYING_PARTY_REVOKED = "relying_party_revoked"
    RELYING_PARTY_CALLBACK = "relying_party_callback"
    DELIVERY = "delivery"
    """A message about a consent reached its relying party, or failed for days."""
    ENGINE_CHANGED = "engine_changed"
    """The service started with another engine than the last time."""
    RESTORED = "restored"
    RETENTION_RUN = "retention_run"
    """Expired data was deleted: the number of rows of each kind, without a subject."""
    HISTORY_SHORTENED = "history_shortened"
    """The subject deleted comparisons: the number of `entries` deleted with them, which an audit counts."""
    TOKEN_UNUSED = "token_unused"  # noqa: S105 - the name of an act, not a secret
    UNRECORDED_ENDING = "unrecorded_ending"
    """A consent ended while the subject's key did not open, so that no sealed record could be written."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A record, the salt of its leaf, and the leaf."""

    record: bytes
    salt: bytes
    leaf: bytes


def make_entry(act: LoggedAct, **record: Value) -> LogEntry:
    """Make the entry of an act."""
    return salt_record(encode_json({"act": act, **record}))


def salt_record(record: bytes) -> LogEntry:
    """Make the entry of *record*, with a fresh salt."""
    salt = secrets.token_bytes(SALT_BYTES)
    return LogEntry(record, salt, compute_leaf(salt, record))


def compute_leaf(salt: bytes, record: bytes) -> bytes:
    """Return the leaf of an entry: SHA-256(0x00 || salt || record)."""
    return merkle.leaf_hash(salt + record)


_ENTRY, _RECEIPT = insert_next(EntryRow), insert_next(ReceiptRow)
_PENDING = insert(PendingLeaf)
_SAME_PENDING = select(PendingLeaf.leaf).where(PendingLeaf.record == bindparam("record")).limit(1)


def seal_entry(key: Key, entry_id: UUID, entry: LogEntry) -> bytes:
    """Seal an entry for its row, under the subject's key."""
    content = {"record": json.loads(entry.record), "salt": encode_base64url(entry.salt)}
    return key.seal(json.dumps(content, ensure_ascii=False).encode(), sealing_context(EntryRow.sealed, entry_id))


def open_entry(key: Key, entry_id: UUID, sealed: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the record and the leaf of an entry that `seal_entry` sealed for the same row."""
    content = json.loads(key.open(sealed, sealing_context(EntryRow.sealed, entry_id)))
    return content["record"], compute_leaf(decode_base64url(content["salt"]), encode_json(content["record"]))


def add_pending_leaf(session: Session, leaf: bytes) -> None:
    """Store a leaf for the next batch."""
    session.connection().execute(_PENDING, {"leaf": leaf, "salt": None, "record": None})


def append(session: Session, key: Key, *, subject_id: UUID, entry_id: UUID, act: LoggedAct, **record: Value) -> None:
    """Write a subject's entry, in the transaction of its act."""
    entry = make_entry(act, **record)
    row = seal_entry(key, entry_id, entry)
    add_next(session, _ENTRY, row_id=entry_id, subject_id=subject_id, sealed=row)
    add_pending_leaf(session, entry.leaf)


def find_existing(session: Session, entry_ids: Collection[UUID]) -> list[UUID]:
    """Return the ids that have an entry: acts of an older version have none."""
    return list(session.scalars(select(EntryRow.id).where(EntryRow.id.in_(entry_ids))))


def delete_entries(session: Session, entry_ids: Collection[UUID]) -> None:
    """Delete records and salts. The leaves stay in the tree, and no longer show their origin."""
    session.execute(delete(EntryRow).where(EntryRow.id.in_(entry_ids)))


def append_receipt(
    session: Session, key: Key, *, subject_id: UUID, receipt_id: UUID, bundle: bytes, leaf: bytes
) -> None:
    """Write a subject's receipt, in the transaction of its act."""
    row = key.seal(bundle, sealing_context(ReceiptRow.sealed, receipt_id))
    add_next(session, _RECEIPT, row_id=receipt_id, subject_id=subject_id, sealed=row)
    add_pending_leaf(session, leaf)


def add_open_entry(session: Session, entry: LogEntry, *, once: bool = False) -> None:
    """Write an open entry; with *once*, only if no pending entry has the same record."""
    row = {"leaf": entry.leaf, "salt": entry.salt, "record": entry.record.decode()}
    if not once or session.connection().execute(_SAME_PENDING, {"record": row["record"]}).first() is None:
        session.connection().execute(_PENDING, row)


def append_open_entry(session: Session, act: LoggedAct, **record: Value) -> None:
    """Write the open entry of an act, in a transaction on the data store."""
    add_open_entry(session, make_entry(act, **record))


def append_open_entry_in_register(session: Session, act: LoggedAct, **record: Value) -> None:
    """Write the open entry of an act that changes the register only, in a transaction on the register."""
    entry = make_entry(act, **record)
    session.add(OpenEntry(leaf=entry.leaf, salt=entry.salt, record=entry.record.decode(), joined=False))


def find_last_time(session: Session, *acts: LoggedAct) -> datetime:
    """Return the last time of these acts in the open entries of the register, which has at least one of them."""
    wanted = or_(*(OpenEntry.record.contains(f'"act":"{act}"', autoescape=True) for act in acts))
    records = session.scalars(select(OpenEntry.record).where(wanted))
    return max(datetime.fromisoformat(json.loads(record)["at"]) for record in records)


def record_or_note_unrecorded(session: Session, record: Callable[[], T], *, state: str, now: datetime) -> T | None:
    """Call *record*; if its keys do not open, or its notice is forged, append an open entry that names only *state*.

    An ending must not depend on its record: without this, a lost key would keep a consent in force.
    """
    try:
        return record()
    except (ForgedRowError, KekError, SealError) as error:
        log.error("an ending is not in the subject's list", state=state, error=type(error).__name__)
        append_open_entry(session, LoggedAct.UNRECORDED_ENDING, state=state, on=now.date().isoformat())
        return None
