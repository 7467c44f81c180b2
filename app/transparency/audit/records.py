"""Audit of records: each readable record has its leaf in the tree, or among the pending leaves.

The record of an open entry is plain text. The record and salt about a subject open with the subject's key; after that
key is destroyed, nothing is left to compare. A finding names a row, and never a subject.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Row, false, null, or_, select, tuple_

from app.db.damaged_values import raw, text_as_bytes
from app.kit.progress import Progress
from app.transparency.audit.findings import AuditCounts, Finding, FindingKind, read_in_pages, sort_findings
from app.transparency.log import signing_keys
from app.transparency.log.entries import LoggedAct, compute_leaf, open_entry
from app.transparency.receipts.issue import open_receipt
from app.transparency.tables import EntryRow, LeafIndex, OpenEntry, PendingLeaf, ReceiptRow
from app.transparency.verify import jws
from app.transparency.verify.bundle import Promise
from app.transparency.verify.canonical_json import decode_base64url
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import Key, SealError
from app.vault.vault import Vault

PAGE = 1_000
_SubjectRow = Row[UUID, UUID, int, bytes]

# Records as bytes, because a damaged one may not be text.
OPEN = select(
    raw(OpenEntry.leaf).label("leaf"),
    raw(OpenEntry.salt).label("salt"),
    text_as_bytes(OpenEntry.record).label("record"),
    raw(OpenEntry.joined).label("joined"),
    select(LeafIndex.index).where(LeafIndex.leaf == OpenEntry.leaf).scalar_subquery().label("at"),
)
PENDING = select(
    raw(PendingLeaf.leaf).label("leaf"),
    raw(PendingLeaf.salt).label("salt"),
    text_as_bytes(PendingLeaf.record).label("record"),
    false().label("joined"),
    null().label("at"),
).where(or_(PendingLeaf.salt.is_not(None), PendingLeaf.record.is_not(None)))


def audit_records(vault: Vault, counts: AuditCounts, *, now: datetime, progress: Progress) -> tuple[list[Finding], int]:
    """Check every record.

    Returns:
        The first finding of each table, and the number of receipts whose leaf missed its promised time.
    """
    progress("open records")
    found = []
    for store, query, key in (
        (vault.register.store, OPEN, OpenEntry.leaf),
        (vault.data, PENDING, PendingLeaf.leaf),
    ):
        for row in read_in_pages(store, query, key=key, page=PAGE):
            counts.open_records += 1
            found += [finding] if (finding := _check_open_record(row)) else []
    found = sort_findings(found)[:1]
    audits = [_SubjectAudit(vault, table, counts, now) for table in (EntryRow, ReceiptRow)]
    found += [finding for audit in audits if (finding := audit.find_first(progress))]
    return found, sum(audit.overdue for audit in audits)


def _check_open_record(row: Row[Any]) -> Finding | None:
    entry = "a pending entry" if row.at is None else f"entry {row.at}"
    if not isinstance(row.salt, bytes) or row.record is None or compute_leaf(row.salt, row.record) != row.leaf:
        return Finding(FindingKind.RECORD_CHANGED, row.at, f"the record of {entry} does not give its leaf")
    if row.joined and row.at is None:
        what = f"the log does not have the entry of the record {row.record.decode(errors='replace')}"
        return Finding(FindingKind.RECORD_NOT_IN_LOG, None, what)
    if not row.joined and row.at is not None:
        return Finding(FindingKind.RECORD_CHANGED, row.at, f"{entry} is marked as pending, but the log has it")
    return None


@dataclass(frozen=True, slots=True)
class _OpenedRecord:
    """The leaf of a record that opened with its subject's key."""

    row_id: UUID
    leaf: bytes
    promised_by: datetime | None


@dataclass(slots=True)
class _SubjectRows:
    """The rows of one subject so far: those that are missing, and those that the subject deleted."""

    subject_id: UUID | None = None
    key: Key | None = None
    position: int = 0
    missing: int = 0
    first_after_gap: UUID | None = None
    deleted: int = 0


class _SubjectAudit:
    """The audit of one table: the entries or the receipts of all subjects."""

    def __init__(self, vault: Vault, table: type[EntryRow | ReceiptRow], counts: AuditCounts, now: datetime) -> None:
        self._vault = vault
        self._table = table
        self._counts = counts
        self._now = now
        self._public: dict[str, Ed25519PublicKey] = {}
        self._subject = _SubjectRows()
        self.overdue = 0
        """Receipts whose leaf is still pending after its promised time."""

    def find_first(self, progress: Progress) -> Finding | None:
        """Return the first finding."""
        done = 0
        for page in self._pages():
            opened = []
            for row in page:
                result = self._count(row) or self._open(row)
                if isinstance(result, Finding):
                    return result
                opened += [result] if result else []
            if lost := self._find_lost(opened):
                return self._finding(FindingKind.RECORD_NOT_IN_LOG, lost.row_id, "is not in the log")
            done += len(page)
            progress(f"{done:,} {self._table.__tablename__}")
        return self._check_gaps()

    def _pages(self) -> Iterator[Sequence[_SubjectRow]]:
        table = self._table
        order = table.subject_id, table.position
        query = select(table.id, table.subject_id, table.position, table.sealed).order_by(*order).limit(PAGE)
        after = None
        while True:
            with self._vault.data.read() as session:
                page = session.execute(query if after is None else query.where(tuple_(*order) > after)).all()
            yield page
            if len(page) < PAGE:
                return
            after = tuple_(*page[-1][1:3])

    def _count(self, row: _SubjectRow) -> Finding | None:
        """Count a row. Positions go from 1; the next subject's first row completes the count of the one before."""
        finding = None
        if row.subject_id != self._subject.subject_id:
            finding, self._subject = self._check_gaps(), _SubjectRows(row.subject_id, self._key(row.subject_id))
        gap = row.position - self._subject.position - 1
        if gap and self._subject.first_after_gap is None:
            self._subject.first_after_gap = row.id
        self._subject.missing += gap
        self._subject.position = row.position
        return finding

    def _key(self, subject_id: UUID) -> Key | None:
        try:
            return self._vault.register.key(Owner.subject(subject_id))
        except KeyGoneError:
            return None

    def _check_gaps(self) -> Finding | None:
        """Return a finding if more rows of the subject are missing than the subject deleted."""
        subject = self._subject
        if subject.first_after_gap is None or subject.key is None or subject.missing <= subject.deleted:
            return None
        what = "does not follow the row before of its subject: rows between them are missing"
        return self._finding(FindingKind.RECORD_MISSING, subject.first_after_gap, what)

    def _finding(self, kind: FindingKind, row_id: UUID, what: str) -> Finding:
        return Finding(kind, None, f"the row {row_id} of the table {self._table.__tablename__} {what}")

    def _open(self, row: _SubjectRow) -> _OpenedRecord | Finding | None:
        """Open one row; None if its subject's key is destroyed."""
        key = self._subject.key
        if key is None:
            self._counts.unreadable += 1
            return None
        try:
            return self._open_entry(key, row) if self._table is EntryRow else self._open_receipt(key, row)
        except SealError:
            what = "does not open with its subject's key: it was changed"
            return self._finding(FindingKind.RECORD_CHANGED, row.id, what)

    def _open_entry(self, key: Key, row: _SubjectRow) -> _OpenedRecord:
        self._counts.entries += 1
        record, leaf = open_entry(key, row.id, row.sealed)
        if record.get("act") == LoggedAct.HISTORY_SHORTENED:
            self._subject.deleted += record["entries"]
        return _OpenedRecord(row.id, leaf, None)

    def _open_receipt(self, key: Key, row: _SubjectRow) -> _OpenedRecord | Finding:
        self._counts.receipts += 1
        bundle = open_receipt(key, row.id, row.sealed)
        try:
            token = jws.read_token(bundle.jws)
            public = self._public_key(token.header.kid)
            if public is None:
                what = f"is signed by {token.header.kid}, which is no key of this service"
                return self._finding(FindingKind.RECORD_CHANGED, row.id, what)
            payload = jws.verify_token(token, typ=jws.RECEIPT_TYPE, key=public)
        except jws.JwsError as error:
            return self._finding(FindingKind.RECORD_CHANGED, row.id, f"is not a valid receipt: {error}")
        leaf = compute_leaf(decode_base64url(bundle.salt), payload)
        promise = Promise.from_json(decode_base64url(bundle.promise.split(".")[1]))
        return _OpenedRecord(row.id, leaf, datetime.fromisoformat(promise.by))

    def _public_key(self, kid: str) -> Ed25519PublicKey | None:
        if kid not in self._public:
            # The key may have been made since the last read.
            with self._vault.register.store.read() as session:
                self._public = {
                    key.thumbprint: Ed25519PublicKey.from_public_bytes(key.public)
                    for key in signing_keys.list_signing_keys(session)
                }
        return self._public.get(kid)

    def _find_lost(self, records: Sequence[_OpenedRecord]) -> _OpenedRecord | None:
        """Return the first record whose leaf is neither in the tree nor pending."""
        missing = self._not_in_tree(records)
        if not missing:
            return None
        with self._vault.data.read() as session:
            leaves = [record.leaf for record in missing]
            pending = set(session.scalars(select(PendingLeaf.leaf).where(PendingLeaf.leaf.in_(leaves))))
        promised = [record.promised_by for record in missing if record.leaf in pending]
        self.overdue += sum(by is not None and by < self._now for by in promised)
        # A batch may have run between the two reads.
        lost = self._not_in_tree([record for record in missing if record.leaf not in pending])
        return lost[0] if lost else None

    def _not_in_tree(self, records: Sequence[_OpenedRecord]) -> list[_OpenedRecord]:
        if not records:
            return []
        leaves = [record.leaf for record in records]
        with self._vault.register.store.read() as session:
            joined = set(session.scalars(select(LeafIndex.leaf).where(LeafIndex.leaf.in_(leaves))))
        return [record for record in records if record.leaf not in joined]
