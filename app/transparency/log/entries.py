"""Entries: what the log has of one act. Each commits with its act, in the act's own transaction on the data store.

An entry's leaf is written beside it as *pending*, with nothing that says whose it is; it joins the tree later, in a
batch (`batch`). What is not about a person is an *open* entry: its record stays readable for whoever audits the log.
"""

import json
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.orm import Session

from app.transparency.tables import EntryRow, OpenEntry, PendingLeaf, ReceiptRow
from app.transparency.verify import merkle
from app.transparency.verify.canonical_json import encode_base64url, encode_json
from app.vault.seal import KekError, Key, SealError
from app.vault.sealed_list import add_next, insert_next
from app.vault.sealing_context import sealing_context

log = structlog.get_logger()
T = TypeVar("T")
SALT_BYTES = 32
"""256 random bits: who guesses a record cannot tell whether a leaf is of it."""

Value = str | int | bool | None
"""What a record is made of: no fractions, since not every program writes them alike."""


class LoggedAct(StrEnum):
    """What an entry is about. Those with a receipt say it in the receipt's own words."""

    COMPARISON = "comparison"
    ENROLMENT = "enrolment"
    ENROLMENT_DELETED = "enrolment_deleted"
    TEMPLATE_RENEWED = "template_renewed"
    """A template of another engine took the place of one, made from the photos that its person agreed to keep."""
    TEMPLATE_NOT_RENEWED = "template_not_renewed"
    """Those photos would not do for the new engine: their person has to enrol again."""
    TEMPLATE_ENDED = "template_ended"
    """Templates of an engine that another took the place of had their time, by the day that was said."""
    REFUSAL = "refusal"
    SWEEP_TOUCHED = "sweep_touched"
    """A relying party was stopped that had tried many references, and this person's was one of them."""
    SWEEP_STOPPED = "sweep_stopped"
    LOG_BEGUN = "log_begun"
    SIGNING_KEY_MADE = "signing_key_made"
    SIGNING_KEY_RETIRED = "signing_key_retired"
    SIGNING_KEY_STOLEN = "signing_key_stolen"
    KEY_ENCRYPTION_KEY_ROTATED = "key_encryption_key_rotated"
    NOTICE_PUBLISHED = "notice_published"
    RELYING_PARTY_ADDED = "relying_party_added"
    RELYING_PARTY_DESCRIBED = "relying_party_described"
    RELYING_PARTY_KEY_ROTATED = "relying_party_key_rotated"
    RELYING_PARTY_KEY_ENDED = "relying_party_key_ended"
    RELYING_PARTY_REVOKED = "relying_party_revoked"
    RELYING_PARTY_CALLBACK = "relying_party_callback"
    DELIVERY = "delivery"
    """A relying party was told of a consent, or could not be told for days."""
    ENGINE_CHANGED = "engine_changed"
    """The service was started with another engine than the last time."""
    RESTORED = "restored"
    RETENTION_RUN = "retention_run"
    """What was kept for its time was deleted: how much of what, and never whose."""
    HISTORY_SHORTENED = "history_shortened"
    """A person deleted comparisons of theirs: how many `entries` went with them, and not which. Audits count them."""
    TOKEN_UNUSED = "token_unused"  # noqa: S105 - what happened, not a secret
    UNRECORDED_ENDING = "unrecorded_ending"
    """A consent ended whose person's key did not open, so that nothing could be sealed about it."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry: a record, the salt of its leaf, and the leaf."""

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
    """Return the leaf of an entry."""
    return merkle.leaf_hash(salt + record)


_ENTRY, _RECEIPT = insert_next(EntryRow), insert_next(ReceiptRow)
_PENDING = insert(PendingLeaf)
_WAITS = select(PendingLeaf.leaf).where(PendingLeaf.record == bindparam("record")).limit(1)


def seal_entry(key: Key, entry_id: UUID, entry: LogEntry) -> bytes:
    """Seal an entry for its row, under its person's key."""
    held = {"record": json.loads(entry.record), "salt": encode_base64url(entry.salt)}
    return key.seal(json.dumps(held, ensure_ascii=False).encode(), sealing_context(EntryRow.sealed, entry_id))


def add_pending_leaf(session: Session, leaf: bytes) -> None:
    """Let a leaf join the tree with one of the next batches."""
    session.connection().execute(_PENDING, {"leaf": leaf, "salt": None, "record": None})


def append(session: Session, key: Key, *, subject_id: UUID, entry_id: UUID, act: LoggedAct, **record: Value) -> None:
    """Write a person's entry, in the transaction of the act that it is about."""
    entry = make_entry(act, **record)
    row = seal_entry(key, entry_id, entry)
    add_next(session, _ENTRY, row_id=entry_id, subject_id=subject_id, sealed=row)
    add_pending_leaf(session, entry.leaf)


def find_existing(session: Session, entry_ids: Collection[UUID]) -> list[UUID]:
    """Return those of the entries that there are: what an older version did has none."""
    return list(session.scalars(select(EntryRow.id).where(EntryRow.id.in_(entry_ids))))


def delete_entries(session: Session, entry_ids: Collection[UUID]) -> None:
    """Delete what entries say, and their salts. Their leaves stay, and nobody can tell any more what they are of."""
    session.execute(delete(EntryRow).where(EntryRow.id.in_(entry_ids)))


def append_receipt(
    session: Session, key: Key, *, subject_id: UUID, receipt_id: UUID, bundle: bytes, leaf: bytes
) -> None:
    """Write a person's receipt, in the transaction of the act that it is about."""
    row = key.seal(bundle, sealing_context(ReceiptRow.sealed, receipt_id))
    add_next(session, _RECEIPT, row_id=receipt_id, subject_id=subject_id, sealed=row)
    add_pending_leaf(session, leaf)


def add_open_entry(session: Session, entry: LogEntry) -> None:
    """Let the leaf of an entry about nobody join the tree, and keep its record."""
    row = {"leaf": entry.leaf, "salt": entry.salt, "record": entry.record.decode()}
    session.connection().execute(_PENDING, row)


def add_open_entry_once(session: Session, entry: LogEntry) -> None:
    """Do the same, unless an entry with the same record waits already."""
    if session.connection().execute(_WAITS, {"record": entry.record.decode()}).first() is None:
        add_open_entry(session, entry)


def append_open_entry(session: Session, act: LoggedAct, **record: Value) -> None:
    """Write an entry about nobody, in a transaction on the data store."""
    add_open_entry(session, make_entry(act, **record))


def record_or_note_unrecorded(session: Session, record: Callable[[], T], *, state: str, now: datetime) -> T | None:
    """Call *record*; if the keys that it needs do not open, append an open entry that names only *state*.

    An ending must not depend on its record: without this, a lost key would keep a consent in force.
    """
    try:
        return record()
    except (KekError, SealError) as error:
        log.error("an ending is not in the subject's list", state=state, error=type(error).__name__)
        append_open_entry(session, LoggedAct.UNRECORDED_ENDING, state=state, on=now.date().isoformat())
        return None


def append_open_entry_in_register(session: Session, act: LoggedAct, **record: Value) -> None:
    """Write an entry about what happens in the register alone, in a transaction on it."""
    entry = make_entry(act, **record)
    session.add(OpenEntry(leaf=entry.leaf, salt=entry.salt, record=entry.record.decode(), joined=False))
