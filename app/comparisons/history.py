"""The subject's list of comparisons, sealed under their key (law 10)."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from app.comparisons.policy import Decision, Liveness
from app.comparisons.tables import Comparison
from app.faces.permit import Purpose
from app.transparency.log.entries import LogEntry, LoggedAct, make_entry
from app.vault.seal import Key
from app.vault.sealed_list import SealedEntry, SealedList


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRecord:
    """The sealed content of one comparison. It has no score: a score would reveal more about the probe."""

    at: datetime
    relying_party_id: UUID
    purpose: Purpose
    decision: Decision
    target_fmr: float
    liveness: Liveness
    in_sweep: bool = False
    """Whether the relying party was stopped soon after, because it failed with many references."""


ComparisonEntry = SealedEntry[ComparisonRecord]
COMPARISONS = SealedList(Comparison, ComparisonRecord)


def mark_in_sweep(key: Key, comparison_id: UUID, sealed: bytes) -> bytes:
    """Return the sealed record with `in_sweep` set."""
    record = COMPARISONS.open(key, comparison_id, sealed)
    return COMPARISONS.seal(key, comparison_id, replace(record, in_sweep=True))


def log_entry(comparison_id: UUID, record: ComparisonRecord) -> LogEntry:
    """Make the transparency log entry of *record*."""
    return make_entry(
        LoggedAct.COMPARISON,
        comparison_id=str(comparison_id),
        at=record.at.isoformat(),
        relying_party_id=str(record.relying_party_id),
        purpose=record.purpose,
        decision=record.decision,
        target_fmr=str(record.target_fmr),
        liveness=record.liveness,
    )
