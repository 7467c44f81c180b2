"""A subject's own list of deliveries: the messages about the subject to relying parties, sealed under their key."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.callbacks.policy import CallbackEvent, DeliveryState
from app.callbacks.tables import Delivery, Message
from app.faces.permit import Purpose
from app.vault.seal import Key
from app.vault.sealed_list import SealedList


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


DELIVERIES = SealedList(Delivery, DeliveryRecord)


def add(session: Session, key: Key, message: Message, *, subject_id: UUID, now: datetime) -> None:
    """Append a new message to the subject's list."""
    record = DeliveryRecord(
        relying_party_id=message.relying_party_id,
        event=message.event,
        purpose=message.purpose,
        outcome=DeliveryState.PENDING,
        made_at=now,
        tries=0,
        last_tried_at=None,
        settled_at=None,
    )
    DELIVERIES.append(session, key, row_id=message.id, subject_id=subject_id, record=record)


def update(session: Session, key: Key, message: Message, *, state: DeliveryState, tried: bool, now: datetime) -> None:
    """Record the state of a message; without effect if the message is not in the list.

    Args:
        tried: whether the message was sent just now.
    """
    row = session.get(Delivery, message.id)
    if row is None:
        return
    record = DELIVERIES.open(key, row.id, row.sealed)
    record = replace(
        record,
        outcome=state,
        tries=message.attempts,
        last_tried_at=now if tried else record.last_tried_at,
        settled_at=None if state is DeliveryState.PENDING else now,
    )
    row.sealed = DELIVERIES.seal(key, row.id, record)
