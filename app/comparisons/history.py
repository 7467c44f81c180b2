"""The subject's list of comparisons, sealed under their key (law 10)."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.comparisons.policy import Decision, Liveness
from app.comparisons.tables import Comparison
from app.faces.permit import Purpose
from app.kit.json import encode_value
from app.transparency.log.entries import LogEntry, LoggedAct, make_entry
from app.vault.seal import Key
from app.vault.sealing_context import sealing_context


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


_RECORD = TypeAdapter(ComparisonRecord)


@dataclass(frozen=True, slots=True)
class ComparisonEntry:
    """A record with its id and its position in the subject's list."""

    comparison_id: UUID
    position: int
    record: ComparisonRecord


def seal_record(key: Key, comparison_id: UUID, record: ComparisonRecord) -> bytes:
    """Seal *record* for its row."""
    return key.seal(
        json.dumps(asdict(record), default=encode_value).encode(), sealing_context(Comparison.sealed, comparison_id)
    )


def open_record(key: Key, comparison_id: UUID, sealed: bytes) -> ComparisonRecord:
    """Open the record of a row."""
    return _RECORD.validate_json(key.open(sealed, sealing_context(Comparison.sealed, comparison_id)))


def mark_in_sweep(key: Key, comparison_id: UUID, sealed: bytes) -> bytes:
    """Return the sealed record with `in_sweep` set."""
    return seal_record(key, comparison_id, replace(open_record(key, comparison_id, sealed), in_sweep=True))


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


def list_comparisons(
    session: Session, key: Key, *, subject_id: UUID, limit: int, before: int | None
) -> Sequence[ComparisonEntry]:
    """Return the subject's comparisons, the newest first."""
    query = select(Comparison).where(Comparison.subject_id == subject_id)
    if before is not None:
        query = query.where(Comparison.position < before)
    rows = session.scalars(query.order_by(Comparison.position.desc()).limit(limit))
    return [ComparisonEntry(row.id, row.position, open_record(key, row.id, row.sealed)) for row in rows]


def find(session: Session, key: Key, *, subject_id: UUID, comparison_id: UUID) -> ComparisonRecord | None:
    """Return one record of the subject."""
    row = session.get(Comparison, comparison_id)
    if row is None or row.subject_id != subject_id:
        return None
    return open_record(key, row.id, row.sealed)
