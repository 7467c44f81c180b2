"""The audit of what entries say: each record that can be read is the one whose leaf is in the log, or waits for it.

Of an entry about nobody the record lies open. Of one about a person, record and salt open with that person's key; where
the key is gone they are too, and nothing is left to compare. What is found names a row, and never a person.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Row, select, text, tuple_

from app.db.sqlite.store import Store
from app.kit.progress import Progress
from app.transparency.audit.findings import Finding, FindingKind, sort_findings
from app.transparency.log import signing_keys
from app.transparency.log.entries import LoggedAct, compute_leaf
from app.transparency.receipts import issue as issuing
from app.transparency.tables import EntryRow, LeafIndex, PendingLeaf, ReceiptRow
from app.transparency.verify import jws
from app.transparency.verify.bundle import Promise
from app.transparency.verify.canonical_json import decode_base64url, encode_json
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import Key, SealError
from app.vault.sealing_context import sealing_context
from app.vault.vault import Vault

PAGE = 1_000
_PersonsRow = Row[UUID, UUID, int, bytes]

# As bytes, since what is no text has to be found, not stumbled over.
OPEN = text(
    'SELECT leaf, salt, CAST(record AS BLOB) AS record, joined, (SELECT "index" FROM log_leaves AS tree'
    " WHERE tree.leaf = log_open_entries.leaf) AS at FROM log_open_entries"
    " WHERE leaf > :after ORDER BY leaf LIMIT :page"
)
PENDING = text(
    "SELECT leaf, salt, CAST(record AS BLOB) AS record FROM pending_leaves"
    " WHERE leaf > :after AND (salt IS NOT NULL OR record IS NOT NULL) ORDER BY leaf LIMIT :page"
)


@dataclass(slots=True)
class RecordAudit:
    """What was looked at, and what was found."""

    open_records: int = 0
    entries: int = 0
    receipts: int = 0
    unreadable: int = 0
    """Of people whose key is gone: they are about to be removed."""
    overdue: int = 0
    """Receipts whose leaf should have been in the log by now."""
    findings: list[Finding] = field(default_factory=list)
    """The first of each kind of record."""


def audit_records(vault: Vault, *, now: datetime, progress: Progress) -> RecordAudit:
    """Look at every record."""
    looked = RecordAudit()
    progress("records that lie open")
    found = [_open_fault(row, looked) for row in _pages(vault.register.store, OPEN)]
    found += [_pending_fault(row, looked) for row in _pages(vault.data, PENDING)]
    looked.findings += sort_findings(one for one in found if one)[:1]
    for people in (_People(vault, EntryRow, looked, now), _People(vault, ReceiptRow, looked, now)):
        fault = people.first(progress)
        looked.findings += [fault] if fault else []
    return looked


def _pages(store: Store, query: Any) -> Iterator[Row[Any]]:  # noqa: ANN401 - SQLAlchemy's text
    after: object = -math.inf
    while True:
        with store.read() as session:
            page = session.execute(query, {"after": after, "page": PAGE}).all()
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].leaf


def _open_fault(row: Row[Any], looked: RecordAudit) -> Finding | None:
    looked.open_records += 1
    of = "an entry that waits for the log" if row.at is None else f"entry {row.at}"
    if not _goes_with(row):
        return Finding(FindingKind.RECORD_CHANGED, row.at, f"the record of {of} is not the one that its leaf is of")
    if row.joined and row.at is None:
        what = f"a record is kept of an entry that the log does not have: {row.record.decode(errors='replace')}"
        return Finding(FindingKind.RECORD_NOT_IN_LOG, None, what)
    if not row.joined and row.at is not None:
        return Finding(FindingKind.RECORD_CHANGED, row.at, f"{of} is noted as waiting for the log, which has it")
    return None


def _pending_fault(row: Row[Any], looked: RecordAudit) -> Finding | None:
    looked.open_records += 1
    if _goes_with(row):
        return None
    return Finding(
        FindingKind.RECORD_CHANGED,
        None,
        "the record of an entry that waits for the log is not the one that its leaf is of",
    )


def _goes_with(row: Row[Any]) -> bool:
    return isinstance(row.salt, bytes) and row.record is not None and compute_leaf(row.salt, row.record) == row.leaf


@dataclass(frozen=True, slots=True)
class _Read:
    """A person's record as it was opened: its row, its leaf, and by when that was promised to be in the log."""

    row_id: UUID
    leaf: bytes
    by: datetime | None


@dataclass(slots=True)
class _Counted:
    """How many rows of a person are missing, and how many they deleted themselves."""

    whose: UUID | None
    position: int = 0
    missing: int = 0
    behind_a_gap: UUID | None = None
    deleted: int = 0
    readable: bool = True


class _People:
    """The entries, or the receipts, of all people."""

    def __init__(
        self, vault: Vault, table: type[EntryRow] | type[ReceiptRow], looked: RecordAudit, now: datetime
    ) -> None:
        self._vault = vault
        self._table = table
        self._looked = looked
        self._now = now
        self._public: dict[str, Ed25519PublicKey] = {}
        self._whose: tuple[UUID, Key | None] | None = None
        self._counted = _Counted(None)

    def first(self, progress: Progress) -> Finding | None:
        """Return the first finding."""
        done = 0
        for page in self._pages():
            read = []
            for row in page:
                one = self._count(row) or self._read(row)
                if isinstance(one, Finding):
                    return one
                read += [one] if one else []
            if lost := self._lost(read):
                return self._fault(FindingKind.RECORD_NOT_IN_LOG, lost.row_id, "says what the log does not have")
            done += len(page)
            progress(f"{done:,} {self._table.__tablename__}")
        return self._missed()

    def _pages(self) -> Iterator[Sequence[_PersonsRow]]:
        table = self._table
        by = tuple_(table.subject_id, table.position)
        query = select(table.id, table.subject_id, table.position, table.sealed)
        query, after = query.order_by(table.subject_id, table.position).limit(PAGE), None
        while True:
            with self._vault.data.read() as session:
                page = session.execute(query if after is None else query.where(by > after)).all()
            yield page
            if len(page) < PAGE:
                return
            after = tuple_(*page[-1][1:3])

    def _count(self, row: _PersonsRow) -> Finding | None:
        """Count a row: each person's go from 1. The first of another person shows what the one before had."""
        missed = None
        if row.subject_id != self._counted.whose:
            missed, self._counted = self._missed(), _Counted(row.subject_id)
        gap = row.position - self._counted.position - 1
        if gap and self._counted.behind_a_gap is None:
            self._counted.behind_a_gap = row.id
        self._counted.missing += gap
        self._counted.position = row.position
        return missed

    def _missed(self) -> Finding | None:
        """Say that more of a person's are gone than they deleted, if that can be read."""
        counted = self._counted
        if counted.behind_a_gap is None or not counted.readable or counted.missing <= counted.deleted:
            return None
        what = "is not the next one of its person: those before it are gone"
        return self._fault(FindingKind.RECORD_MISSING, counted.behind_a_gap, what)

    def _fault(self, kind: FindingKind, row_id: UUID, what: str) -> Finding:
        return Finding(kind, None, f"the row {row_id} of the table {self._table.__tablename__} {what}")

    def _read(self, row: _PersonsRow) -> _Read | Finding | None:
        """Open one row; None if its person's key is gone."""
        key = self._key(row.subject_id)
        if key is None:
            self._looked.unreadable += 1
            self._counted.readable = False
            return None
        try:
            if self._table is EntryRow:
                self._looked.entries += 1
                return self._entry(key, row)
            self._looked.receipts += 1
            return self._receipt(key, row)
        except SealError:
            return self._fault(
                FindingKind.RECORD_CHANGED, row.id, "does not open with its person's key: it was changed"
            )

    def _key(self, subject_id: UUID) -> Key | None:
        # Rows come person by person.
        if self._whose is None or self._whose[0] != subject_id:
            try:
                self._whose = subject_id, self._vault.register.key(Owner.subject(subject_id))
            except KeyGoneError:
                self._whose = subject_id, None
        return self._whose[1]

    def _entry(self, key: Key, row: _PersonsRow) -> _Read:
        held = json.loads(key.open(row.sealed, sealing_context(EntryRow.sealed, row.id)))
        if held["record"].get("act") == LoggedAct.HISTORY_SHORTENED:
            self._counted.deleted += held["record"]["entries"]
        return _Read(row.id, compute_leaf(decode_base64url(held["salt"]), encode_json(held["record"])), None)

    def _receipt(self, key: Key, row: _PersonsRow) -> _Read | Finding:
        bundle = issuing.open_receipt(key, row.id, row.sealed)
        try:
            token = jws.read_token(bundle.jws)
            public = self._signed_by(token.header.kid)
            if public is None:
                return self._fault(
                    FindingKind.RECORD_CHANGED, row.id, f"is signed by {token.header.kid}, which is no key here"
                )
            payload = jws.verify_token(token, typ=jws.RECEIPT_TYPE, key=public)
        except jws.JwsError as error:
            return self._fault(FindingKind.RECORD_CHANGED, row.id, f"is no receipt that holds: {error}")
        promise = Promise.model_validate_json(decode_base64url(bundle.promise.split(".")[1]))
        return _Read(row.id, compute_leaf(decode_base64url(bundle.salt), payload), datetime.fromisoformat(promise.by))

    def _signed_by(self, kid: str) -> Ed25519PublicKey | None:
        if kid not in self._public:
            # A key may be new since these were read.
            with self._vault.register.store.read() as session:
                self._public = {
                    key.thumbprint: Ed25519PublicKey.from_public_bytes(key.public)
                    for key in signing_keys.list_signing_keys(session)
                }
        return self._public.get(kid)

    def _lost(self, read: Sequence[_Read]) -> _Read | None:
        """Return the first whose leaf is neither in the log nor on the way there."""
        missing = self._not_in_log(read)
        if not missing:
            return None
        with self._vault.data.read() as session:
            leaves = [one.leaf for one in missing]
            waiting = set(session.scalars(select(PendingLeaf.leaf).where(PendingLeaf.leaf.in_(leaves))))
        self._looked.overdue += sum(
            one.leaf in waiting and one.by is not None and one.by < self._now for one in missing
        )
        # A batch may have come between the two.
        return next(iter(self._not_in_log([one for one in missing if one.leaf not in waiting])), None)

    def _not_in_log(self, read: Sequence[_Read]) -> list[_Read]:
        if not read:
            return []
        with self._vault.register.store.read() as session:
            found = select(LeafIndex.leaf).where(LeafIndex.leaf.in_([one.leaf for one in read]))
            there = set(session.scalars(found))
        return [one for one in read if one.leaf not in there]
