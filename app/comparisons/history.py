"""The person's own list of comparisons, sealed under their key (law 10)."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.comparisons.policy import Decision, Liveness
from app.comparisons.tables import Comparison
from app.faces.permit import Purpose
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.vault.seal import Key
from app.vault.sealing_context import place


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One comparison. No score: it would tell more about the probe than anybody needs."""

    at: datetime
    relying_party_id: UUID
    purpose: Purpose
    decision: Decision
    target_fmr: float
    liveness: Liveness
    in_sweep: bool = False
    """Whether the relying party was stopped within the hour, for having tried many references."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line with its id and its position in the person's list."""

    comparison_id: UUID
    position: int
    line: Line


def sealed(key: Key, comparison_id: UUID, line: Line) -> bytes:
    """Seal *line* for its row."""
    fields = asdict(line) | {"at": line.at.isoformat(), "relying_party_id": str(line.relying_party_id)}
    return key.seal(json.dumps(fields).encode(), place(Comparison.sealed, comparison_id))


def in_sweep(key: Key, comparison_id: UUID, sealed_line: bytes) -> bytes:
    """Seal a line again, with the mark that it was one of a sweep."""
    line = _line(key.open(sealed_line, place(Comparison.sealed, comparison_id)))
    return sealed(key, comparison_id, replace(line, in_sweep=True))


def entry(comparison_id: UUID, line: Line) -> entries.LogEntry:
    """Make the entry that the log has of *line*."""
    return entries.make_entry(
        LoggedAct.COMPARISON,
        comparison_id=str(comparison_id),
        at=line.at.isoformat(),
        relying_party_id=str(line.relying_party_id),
        purpose=line.purpose,
        decision=line.decision,
        target_fmr=str(line.target_fmr),
        liveness=line.liveness,
    )


def of(session: Session, key: Key, *, subject_id: UUID, limit: int, before: int | None) -> Sequence[Entry]:
    """Return the person's comparisons, newest first."""
    query = select(Comparison).where(Comparison.subject_id == subject_id)
    if before is not None:
        query = query.where(Comparison.position < before)
    rows = session.scalars(query.order_by(Comparison.position.desc()).limit(limit))
    return [Entry(row.id, row.position, opened(key, row)) for row in rows]


def find(session: Session, key: Key, *, subject_id: UUID, comparison_id: UUID) -> Line | None:
    """Return one of the person's lines."""
    row = session.get(Comparison, comparison_id)
    if row is None or row.subject_id != subject_id:
        return None
    return opened(key, row)


def opened(key: Key, row: Comparison) -> Line:
    """Open the line of a row."""
    return _line(key.open(row.sealed, place(Comparison.sealed, row.id)))


def _line(plain: bytes) -> Line:
    fields = json.loads(plain)
    return Line(
        at=datetime.fromisoformat(fields["at"]),
        relying_party_id=UUID(fields["relying_party_id"]),
        purpose=Purpose(fields["purpose"]),
        decision=Decision(fields["decision"]),
        target_fmr=fields["target_fmr"],
        liveness=Liveness(fields["liveness"]),
        # Older lines do not say.
        in_sweep=fields.get("in_sweep", False),
    )
