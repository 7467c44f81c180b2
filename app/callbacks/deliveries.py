"""A subject's own list of deliveries: the messages about the subject to relying parties, sealed under their key."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.callbacks.policy import CallbackEvent, DeliveryState
from app.callbacks.tables import Delivery
from app.faces.permit import Purpose
from app.kit.json import written
from app.transparency.log import entries
from app.vault.seal import Key
from app.vault.sealing_context import place

_LINE = entries.next_row(Delivery)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """One message and the state of its delivery."""

    relying_party_id: UUID
    event: CallbackEvent
    purpose: Purpose
    outcome: DeliveryState
    made_at: datetime
    tries: int
    last_tried_at: datetime | None
    settled_at: datetime | None
    """When it was acknowledged, failed or was overtaken; None while it is pending."""


@dataclass(frozen=True, slots=True)
class DeliveryEntry:
    """A delivery record with its id and its position in the subject's list."""

    delivery_id: UUID
    position: int
    record: DeliveryRecord


def add(session: Session, key: Key, *, delivery_id: UUID, subject_id: UUID, record: DeliveryRecord) -> None:
    """Append a delivery to the subject's list."""
    row = _sealed(key, delivery_id, record)
    entries.insert_next(session, _LINE, row_id=delivery_id, subject_id=subject_id, sealed=row)


def update(
    session: Session, key: Key, *, delivery_id: UUID, state: DeliveryState, tries: int, tried: bool, now: datetime
) -> None:
    """Record the result of a try, or of the wait for one; without effect if the delivery is not in the list.

    Args:
        tried: whether the message was sent just now.
    """
    row = session.get(Delivery, delivery_id)
    if row is None:
        return
    record = replace(
        _opened(key, row),
        outcome=state,
        tries=tries,
        settled_at=None if state is DeliveryState.PENDING else now,
    )
    row.sealed = _sealed(key, row.id, replace(record, last_tried_at=now) if tried else record)


def list_deliveries(
    session: Session, key: Key, *, subject_id: UUID, limit: int, before: int | None
) -> Sequence[DeliveryEntry]:
    """Return the subject's deliveries, newest first."""
    query = select(Delivery).where(Delivery.subject_id == subject_id)
    if before is not None:
        query = query.where(Delivery.position < before)
    rows = session.scalars(query.order_by(Delivery.position.desc()).limit(limit))
    return [DeliveryEntry(row.id, row.position, _opened(key, row)) for row in rows]


def _sealed(key: Key, delivery_id: UUID, record: DeliveryRecord) -> bytes:
    return key.seal(json.dumps(asdict(record), default=written).encode(), place(Delivery.sealed, delivery_id))


def _opened(key: Key, row: Delivery) -> DeliveryRecord:
    fields: dict[str, Any] = json.loads(key.open(row.sealed, place(Delivery.sealed, row.id)))
    return DeliveryRecord(
        relying_party_id=UUID(fields["relying_party_id"]),
        event=CallbackEvent(fields["event"]),
        purpose=Purpose(fields["purpose"]),
        outcome=DeliveryState(fields["outcome"]),
        made_at=datetime.fromisoformat(fields["made_at"]),
        tries=fields["tries"],
        last_tried_at=_instant(fields["last_tried_at"]),
        settled_at=_instant(fields["settled_at"]),
    )


def _instant(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)
