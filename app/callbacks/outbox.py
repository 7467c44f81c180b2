"""What relying parties are still to be told (GDPR Art. 19): written with the act itself, gone when it is settled.

* A message is written in the transaction of the act that it is about, so that there is none without the other.
* There is one for a reference and purpose at most: a later event takes the place of an earlier one that nobody has
  acknowledged. So what is sent is true when it is sent, whenever that comes to be.
* A restored backup may send again what was acknowledged: under the same id, by which its recipient knows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.callbacks import deliveries
from app.callbacks.policy import DeliveryState, Event
from app.callbacks.tables import Message
from app.db.sqlite.prepared import within
from app.faces.permit import Purpose
from app.parties.tables import RelyingParty
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import KekError, Key, SealError
from app.vault.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Whom an event is about, and who is to be told."""

    subject_id: UUID
    relying_party_id: UUID
    subject_ref: str
    purpose: Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A message that is about to be sent."""

    id: UUID
    relying_party_id: UUID
    callback: str
    event: Event
    subject_ref: str
    purpose: Purpose
    made_on: date
    attempts: int
    """This one included."""


def write(session: Session, key: Key | None, *, about: About, event: Event, now: datetime) -> None:
    """Write what the party is to be told, if it is told at all.

    Args:
        key: the person's; without it they have no line of it, since an event does not depend on its own record.
    """
    earlier = session.scalar(
        select(Message).where(
            Message.relying_party_id == about.relying_party_id,
            Message.subject_ref == about.subject_ref,
            Message.purpose == about.purpose,
        )
    )
    if earlier is not None:
        _settle(session, key, earlier, DeliveryState.OVERTAKEN, now=now)
    callback = select(RelyingParty.callback).where(RelyingParty.id == about.relying_party_id)
    if session.scalar(callback) is None:
        return
    message = Message(
        id=uuid4(),
        subject_id=about.subject_id,
        erasure_id=None,
        relying_party_id=about.relying_party_id,
        event=event,
        subject_ref=about.subject_ref,
        purpose=about.purpose,
        made_on=now.date(),
        attempts=0,
    )
    session.add(message)
    session.flush()
    if key is not None:
        deliveries.begin(
            session, key, delivery_id=message.id, subject_id=about.subject_id, line=_line(message, now=now)
        )


def _line(message: Message, *, now: datetime) -> deliveries.Line:
    return deliveries.Line(
        relying_party_id=message.relying_party_id,
        event=message.event,
        purpose=message.purpose,
        outcome=DeliveryState.PENDING,
        made_at=now,
        tries=0,
        last_tried_at=None,
        settled_at=None,
    )


def recipients(session: Session) -> Sequence[UUID]:
    """Return the parties that have a callback, and something still to be told."""
    waiting = select(Message.relying_party_id).distinct()
    called = (RelyingParty.callback.is_not(None), RelyingParty.id.in_(waiting))
    return session.scalars(select(RelyingParty.id).where(*called).order_by(RelyingParty.id)).all()


def waiting(session: Session, party_id: UUID) -> Sequence[UUID]:
    """Return the messages to one party, the oldest first."""
    mine = select(Message.id).where(Message.relying_party_id == party_id)
    return session.scalars(mine.order_by(Message.made_on, Message.id)).all()


def claim(session: Session, message_id: UUID) -> Claimed | None:
    """Count a try that is about to be made; None if there is nothing to be told any more, or nobody to tell.

    What is signed afterwards is newer than whatever a later event took the place of.
    """
    message = session.get(Message, message_id)
    if message is None:
        return None
    callback = session.scalar(select(RelyingParty.callback).where(RelyingParty.id == message.relying_party_id))
    if callback is None:
        return None
    message.attempts += 1
    return Claimed(
        id=message.id,
        relying_party_id=message.relying_party_id,
        callback=callback,
        event=message.event,
        subject_ref=message.subject_ref,
        purpose=message.purpose,
        made_on=message.made_on,
        attempts=message.attempts,
    )


def tried(session: Session, vault: Vault, message_id: UUID, *, state: DeliveryState, now: datetime) -> None:
    """Write down what came of a try; harmless if a later event, or another process, was first."""
    message = session.get(Message, message_id)
    if message is None:
        return
    key = _key(vault, message.subject_id)
    if state is not DeliveryState.PENDING:
        _settle(session, key, message, state, now=now, tried=True)
    elif key is not None:
        deliveries.note(session, key, delivery_id=message.id, state=state, tries=message.attempts, tried=True, now=now)


def give_up(session: Session, vault: Vault, *, party_id: UUID, before: date, now: datetime) -> int:
    """Give up what was to be told to a party since before that day. Returns how many."""
    old = select(Message).where(Message.relying_party_id == party_id, Message.made_on < before)
    found = session.scalars(old).all()
    for message in found:
        _settle(session, _key(vault, message.subject_id), message, DeliveryState.FAILED, now=now)
    return len(found)


def without_callback(session: Session, *, before: date) -> Sequence[UUID]:
    """Return the parties that were to be told something since before that day, and have no callback any more."""
    old = select(Message.relying_party_id).where(Message.made_on < before)
    return session.scalars(
        select(RelyingParty.id).where(RelyingParty.callback.is_(None), RelyingParty.id.in_(old))
    ).all()


def hand_over(session: Session, *, subject_id: UUID, erasure_id: UUID) -> None:
    """Let the erasure of a person name what is still to be told of them, until it is settled."""
    mine = Message.subject_id == subject_id
    session.execute(update(Message).where(mine).values(erasure_id=erasure_id))


def is_left_of(session: Session, *, erasure_id: UUID) -> bool:
    """Say whether a relying party is still to be told something of the person who was erased."""
    return session.scalar(select(Message.id).where(Message.erasure_id == erasure_id).limit(1)) is not None


def _key(vault: Vault, subject_id: UUID | None) -> Key | None:
    """Return the key of the person's records, if they are still there, and it opens."""
    try:
        return None if subject_id is None else vault.register.key(Owner.subject(subject_id))
    except (KeyGoneError, KekError, SealError):
        return None


def _settle(
    session: Session, key: Key | None, message: Message, state: DeliveryState, *, now: datetime, tried: bool = False
) -> None:
    """Delete a message that is not to be sent again, and write into its person's line, and the log, what came of it."""
    session.execute(delete(Message).where(Message.id == message.id))
    session.expunge(message)
    if key is None or message.subject_id is None:
        return
    deliveries.note(session, key, delivery_id=message.id, state=state, tries=message.attempts, tried=tried, now=now)
    session.flush()
    if state is not DeliveryState.OVERTAKEN:
        entries.append(
            within(session),
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
