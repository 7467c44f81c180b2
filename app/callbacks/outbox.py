"""Outbox: messages to relying parties that are not yet settled (GDPR Art. 19).

* A message is written in the same transaction as the act that it announces, so neither exists without the other.
* At most one message exists for a reference and purpose: a later event replaces an earlier one that was not
  acknowledged. So a message is true at the time it is sent.
* After a restore, an acknowledged message may be sent again, under the same id, by which the recipient recognises it.
"""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from app.callbacks import deliveries
from app.callbacks.policy import CallbackEvent, DeliveryState
from app.callbacks.tables import Message
from app.faces.permit import Purpose
from app.parties.tables import RelyingParty
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.vault.authentic_rows import is_authentic
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import KekError, Key, SealError
from app.vault.vault import Vault


def add(
    session: Session,
    key: Key | None,
    *,
    subject_id: UUID,
    relying_party_id: UUID,
    subject_ref: str,
    purpose: Purpose,
    event: CallbackEvent,
    now: datetime,
) -> None:
    """Queue a message, if the relying party has a callback. It replaces an earlier message about the same consent.

    Args:
        key: of the subject's records; with None the delivery is missing from the subject's list.
    """
    consent = {"relying_party_id": relying_party_id, "subject_ref": subject_ref, "purpose": purpose}
    earlier = session.scalar(select(Message).filter_by(**consent))
    if earlier is not None:
        _settle(session, key, earlier, DeliveryState.OVERTAKEN, now=now)
    if _callback_of(session, relying_party_id) is None:
        return
    message = Message(
        id=uuid4(), subject_id=subject_id, erasure_id=None, event=event, made_on=now.date(), attempts=0, **consent
    )
    session.add(message)
    session.flush()
    if key is not None:
        deliveries.add(session, key, message, subject_id=subject_id, now=now)


def _callback_of(session: Session, party_id: UUID) -> str | None:
    return session.scalar(select(RelyingParty.callback).where(RelyingParty.id == party_id, is_authentic(RelyingParty)))


def list_recipients(session: Session) -> Sequence[UUID]:
    """Return the relying parties that have a callback and waiting messages."""
    return _list_parties(session, RelyingParty.callback.is_not(None))


def list_without_callback(session: Session, *, before: date) -> Sequence[UUID]:
    """Return the relying parties that have messages older than that day and no callback any more."""
    return _list_parties(session, RelyingParty.callback.is_(None), Message.made_on < before)


def _list_parties(session: Session, *where: ColumnElement[bool]) -> Sequence[UUID]:
    parties = select(Message.relying_party_id).join(RelyingParty).where(*where, is_authentic(Message)).distinct()
    return session.scalars(parties.order_by(Message.relying_party_id)).all()


def list_waiting(session: Session, party_id: UUID) -> Sequence[UUID]:
    """Return the ids of the messages to one relying party, the oldest first."""
    mine = select(Message.id).where(Message.relying_party_id == party_id, is_authentic(Message))
    return session.scalars(mine.order_by(Message.made_on, Message.id)).all()


def count_waiting(session: Session) -> int:
    """Return the number of messages that are not settled."""
    return session.scalar(select(func.count(Message.id))) or 0


def claim(session: Session, message_id: UUID) -> tuple[Message, str] | None:
    """Count a try before it is made. Returns the message and the callback.

    Returns None if the message was settled, or its relying party has no callback any more. The caller signs the message
    afterwards, so its signature is later than that of any message it replaced.
    """
    message = session.scalar(select(Message).where(Message.id == message_id, is_authentic(Message)))
    callback = None if message is None else _callback_of(session, message.relying_party_id)
    if message is None or callback is None:
        return None
    message.attempts += 1
    return message, callback


def record_try(session: Session, vault: Vault, message_id: UUID, *, state: DeliveryState, now: datetime) -> None:
    """Record the result of a try; without effect if the message was settled or replaced meanwhile."""
    message = session.get(Message, message_id)
    if message is None:
        return
    key = _key(vault, message.subject_id)
    if state is not DeliveryState.PENDING:
        _settle(session, key, message, state, now=now, tried=True)
    elif key is not None:
        deliveries.update(session, key, message, state=state, tried=True, now=now)


def give_up(session: Session, vault: Vault, *, party_id: UUID, before: date, now: datetime) -> int:
    """Give up the messages to a relying party that are older than that day. Returns how many."""
    old = select(Message).where(Message.relying_party_id == party_id, Message.made_on < before)
    found = session.scalars(old).all()
    for message in found:
        _settle(session, _key(vault, message.subject_id), message, DeliveryState.FAILED, now=now)
    return len(found)


def attach_to_erasure(session: Session, *, subject_id: UUID, erasure_id: UUID) -> None:
    """Link the subject's messages to the erasure, which lists them under `kept` until they are settled."""
    session.execute(update(Message).where(Message.subject_id == subject_id).values(erasure_id=erasure_id))


def has_messages_of(session: Session, *, erasure_id: UUID) -> bool:
    """Return whether messages about the erased subject are waiting."""
    return session.scalar(select(Message.id).where(Message.erasure_id == erasure_id).limit(1)) is not None


def _key(vault: Vault, subject_id: UUID | None) -> Key | None:
    """Return the key of the subject's records, or None if the subject was erased or the key does not open."""
    try:
        return None if subject_id is None else vault.register.key(Owner.subject(subject_id))
    except (KeyGoneError, KekError, SealError):
        return None


def _settle(
    session: Session, key: Key | None, message: Message, state: DeliveryState, *, now: datetime, tried: bool = False
) -> None:
    """Delete a settled message; record its outcome in the subject's list and in the transparency log."""
    session.execute(delete(Message).where(Message.id == message.id))
    session.expunge(message)
    if key is None or message.subject_id is None:
        return
    deliveries.update(session, key, message, state=state, tried=tried, now=now)
    session.flush()
    if state is not DeliveryState.OVERTAKEN:
        entries.append(
            session,
            key,
            subject_id=message.subject_id,
            entry_id=message.id,
            act=LoggedAct.DELIVERY,
            relying_party_id=str(message.relying_party_id),
            event=message.event,
            purpose=message.purpose,
            outcome=state,
            at=now.isoformat(),
        )
