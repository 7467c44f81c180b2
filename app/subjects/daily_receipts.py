"""Limit on the receipts that one subject gets in a day, so that no account fills the disk.

It refuses acts that give: a consent, its renewal, the end of a restriction or of a dispute, and a refusal that ends no
consent. An act that ends something is never refused. It needs an earlier act that gave, so the limit bounds both.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.kit.errors import TooManyAttemptsError
from app.settings import Settings
from app.transparency.receipts import issue
from app.transparency.tables import ReceiptRow
from app.transparency.verify.bundle import Bundle
from app.transparency.verify.receipt import Receipt
from app.transparency.verify.vocabulary import RightKind
from app.vault.seal import Key


class TooManyDecisionsError(TooManyAttemptsError):
    """The subject gave, renewed or lifted very often in one day. An end is never refused."""

    detail = (
        "You have as many receipts of today as the service stores. You can still withdraw, refuse, restrict, dispute "
        "and erase. To give, renew or lift, wait for the seconds of the header `Retry-After`: until midnight (UTC)."
    )


def refuse_beyond(session: Session, key: Key, *, subject_id: UUID, settings: Settings, now: datetime) -> None:
    """Refuse an act that gives, if the subject has all receipts of the day.

    Raises:
        TooManyDecisionsError: the subject has.
    """
    if has_all(session, key, subject_id=subject_id, settings=settings, now=now):
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
        raise TooManyDecisionsError(retry_after_s=math.ceil((midnight - now).total_seconds()))


def has_all(session: Session, key: Key, *, subject_id: UUID, settings: Settings, now: datetime) -> bool:
    """Return whether the subject has `receipts_per_day` receipts of this day."""
    last = session.scalars(_newest_first(subject_id).offset(settings.receipts_per_day - 1).limit(1)).first()
    return last is not None and _is_of(issue.parse_bundle(issue.open_receipt(key, last.id, last.sealed)), now)


def find_of_today(
    session: Session, key: Key, *, subject_id: UUID, kind: RightKind, most: int, now: datetime
) -> Iterator[Bundle]:
    """Yield the subject's receipts of one kind and of this day, the newest first.

    Args:
        session: a transaction of the data store.
        key: the subject's key.
        subject_id: the subject.
        kind: the act of the receipts.
        most: so many of the newest receipts of all kinds are searched.
        now: a time of the day.
    """
    for row in session.scalars(_newest_first(subject_id).limit(most)):
        bundle = issue.open_receipt(key, row.id, row.sealed)
        content = issue.parse_bundle(bundle)
        if content.kind == kind and _is_of(content, now):
            yield bundle


def _newest_first(subject_id: UUID) -> Select[ReceiptRow]:
    return select(ReceiptRow).where(ReceiptRow.subject_id == subject_id).order_by(ReceiptRow.position.desc())


def _is_of(receipt: Receipt, now: datetime) -> bool:
    return receipt.event.event_time.startswith(now.date().isoformat())
