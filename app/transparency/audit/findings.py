"""Findings of an audit. `docs/reference/transparency-log.md` has a line for each kind."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, Select
from sqlalchemy.orm import InstrumentedAttribute

from app.db.damaged_values import raw
from app.db.store import Store

KEEP_COPIES = (
    "Stop the service, keep copies of both directories as they are, and go on as "
    "docs/reference/transparency-log.md says"
)
PROOFS_FAIL = f"The entries themselves are unchanged, but their proofs fail. {KEEP_COPIES}"


class FindingKind(StrEnum):
    """The kind of a fault. The names are permanent."""

    LEAF_CHANGED = "leaf-changed"
    LEAF_MISSING = "leaf-missing"
    INDEX_WRONG = "index-wrong"
    NODE_WRONG = "node-wrong"
    ROOT_WRONG = "root-wrong"
    HEAD_MISSING = "head-missing"
    ROLLED_BACK = "rolled-back"
    REWRITTEN = "rewritten"
    SEEN_CHANGED = "seen-changed"
    GUARD_GONE = "guard-gone"
    RECORD_CHANGED = "record-changed"
    RECORD_NOT_IN_LOG = "record-not-in-log"
    RECORD_MISSING = "record-missing"


WHAT_TO_DO = {
    FindingKind.INDEX_WRONG: PROOFS_FAIL,
    FindingKind.NODE_WRONG: PROOFS_FAIL,
    FindingKind.ROLLED_BACK: "Put the newest register back (docs/how-to/back-up-and-restore.md); "
    "with this one the service does not start",
    FindingKind.SEEN_CHANGED: f"The log itself is unchanged, but the data store was written to. {KEEP_COPIES}",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault."""

    kind: FindingKind
    index: int | None
    """The first entry of the log that it affects; None if unknown."""
    what: str

    @property
    def do(self) -> str:
        """The next step for the operator."""
        return WHAT_TO_DO.get(self.kind, KEEP_COPIES)


@dataclass(slots=True)
class AuditCounts:
    """The number of checked items."""

    leaves: int = 0
    nodes: int = 0
    """Stored hashes above the leaves."""
    heads: int = 0
    open_records: int = 0
    entries: int = 0
    receipts: int = 0
    unreadable: int = 0
    """Records of subjects whose key is destroyed. The next maintenance run deletes them."""


def sort_findings(found: list[Finding]) -> list[Finding]:
    """Return findings by index, those without one last."""
    return sorted(found, key=lambda finding: math.inf if finding.index is None else finding.index)


def read_in_pages(
    store: Store, query: Select[*tuple[Any, ...]], *, key: InstrumentedAttribute[Any], page: int
) -> Iterator[Row[Any]]:
    """Yield the rows of *query*, each page from a short transaction of its own, so that the service goes on meanwhile.

    Args:
        store: the store.
        query: selects the rows.
        key: the column whose order the rows have; also the first column of the query.
        page: rows in one transaction.
    """
    following = query.order_by(key).limit(page)
    while True:
        with store.read() as session:
            rows = session.execute(following).all()
        yield from rows
        if len(rows) < page:
            return
        following = query.where(raw(key) > rows[-1][0]).order_by(key).limit(page)
