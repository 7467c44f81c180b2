"""Findings of an audit, in words for the operator. `docs/reference/transparency-log.md` has a line for each kind."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

UNTOUCHED = (
    "Stop the service, keep copies of both directories as they are, and go on as "
    "docs/reference/transparency-log.md says"
)


class FindingKind(StrEnum):
    """What is wrong. The names are permanent."""

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
    FindingKind.INDEX_WRONG: "The entries themselves are as they were, but proofs of them fail. " + UNTOUCHED,
    FindingKind.NODE_WRONG: "The entries themselves are as they were, but proofs of them fail. " + UNTOUCHED,
    FindingKind.ROLLED_BACK: "Put the newest register back (docs/how-to/back-up-and-restore.md); "
    "with this one the service does not start",
    FindingKind.SEEN_CHANGED: "The log itself is as it was. Somebody wrote to the data store: "
    + UNTOUCHED[0].lower()
    + UNTOUCHED[1:],
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was written."""

    kind: FindingKind
    index: int | None
    """The first entry of the log that it touches; None if that cannot be told."""
    what: str

    @property
    def do(self) -> str:
        """What the operator should do now."""
        return WHAT_TO_DO.get(self.kind, UNTOUCHED)


def sort_findings(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings by index, those without one last."""
    return tuple(sorted(found, key=lambda one: (one.index is None, one.index or 0)))
