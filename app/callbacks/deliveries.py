"""A person's own list of what relying parties were to be told of them, sealed under their key."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.callbacks.policy import DeliveryState, Event
from app.callbacks.tables import Delivery
from app.db.sqlite.prepared import within
from app.faces.permit import Purpose
from app.kit.json import written
from app.transparency.log import entries
from app.vault.seal import Key
from app.vault.sealing_context import place

_LINE = entries.next_row(Delivery)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One event, and how it stands with telling of it."""

    relying_party_id: UUID
    event: Event
    purpose: Purpose
    outcome: DeliveryState
    made_at: datetime
    tries: int
    last_tried_at: datetime | None
    settled_at: datetime | None
    """When it was acknowledged, or given up; None while it is pending."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line with its id and its position in the person's list."""

    delivery_id: UUID
    position: int
    line: Line


def begin(session: Session, key: Key, *, delivery_id: UUID, subject_id: UUID, line: Line) -> None:
    """Write the person's next line."""
    row = _sealed(key, delivery_id, line)
    within(session).all(_LINE, id=delivery_id, subject_id=subject_id, person_id=subject_id, sealed=row)


def note(
    session: Session, key: Key, *, delivery_id: UUID, state: DeliveryState, tries: int, tried: bool, now: datetime
) -> None:
    """Write down what came of a try, or of waiting for one; a person who had no line then has none now."""
    row = session.get(Delivery, delivery_id)
    if row is None:
        return
    line = replace(
        _opened(key, row),
        outcome=state,
        tries=tries,
        settled_at=None if state is DeliveryState.PENDING else now,
    )
    row.sealed = _sealed(key, row.id, replace(line, last_tried_at=now) if tried else line)


def of(session: Session, key: Key, *, subject_id: UUID, limit: int, before: int | None) -> Sequence[Entry]:
    """Return the person's lines, newest first."""
    query = select(Delivery).where(Delivery.subject_id == subject_id)
    if before is not None:
        query = query.where(Delivery.position < before)
    rows = session.scalars(query.order_by(Delivery.position.desc()).limit(limit))
    return [Entry(row.id, row.position, _opened(key, row)) for row in rows]


def _sealed(key: Key, delivery_id: UUID, line: Line) -> bytes:
    return key.seal(json.dumps(asdict(line), default=written).encode(), place(Delivery.sealed, delivery_id))


def _opened(key: Key, row: Delivery) -> Line:
    fields: dict[str, Any] = json.loads(key.open(row.sealed, place(Delivery.sealed, row.id)))
    return Line(
        relying_party_id=UUID(fields["relying_party_id"]),
        event=Event(fields["event"]),
        purpose=Purpose(fields["purpose"]),
        outcome=DeliveryState(fields["outcome"]),
        made_at=datetime.fromisoformat(fields["made_at"]),
        tries=fields["tries"],
        last_tried_at=_instant(fields["last_tried_at"]),
        settled_at=_instant(fields["settled_at"]),
    )


def _instant(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)
