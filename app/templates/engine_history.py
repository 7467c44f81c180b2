"""The engine in force, and those that were: templates never cross from one to another.

An engine is known by the hash of its weights. When the service is started with another one than the last time, the
older one is *superseded*: nobody is compared with its templates any more, and they end on a day that is said at once.
Until that day going back to it makes it in force again, with its templates.
"""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.faces import vectors
from app.faces.cards.card import Card
from app.kit.crash_points import operation
from app.templates.tables import EngineRow
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault.vault import Vault

UNKNOWN = "unknown"
"""What an engine is called that this service never had in force."""


class NotInForceError(Exception):
    """Templates are made and renewed with the engine in force only."""

    def __init__(self, card: Card, in_force: EngineRow | None) -> None:
        """Take the card of the engine that is not."""
        last = "no engine yet" if in_force is None else f"{in_force.engine_id} ({in_force.weights_sha256[:8]})"
        super().__init__(
            f"the engine {card.id} ({card.weights_sha256[:8]}) is not in force: the service was last started with "
            f"{last}. Set MIEN_ENGINE to that, or start the service with this one first"
        )


@operation("changing the engine")
def begin(vault: Vault, card: Card, *, days: int, now: datetime) -> None:
    """Put the engine of *card* in force, if another was, or none. Repeating it is harmless.

    Args:
        vault: the stores.
        card: of the engine that the service is started with.
        days: after which the templates of the older one end.
        now: when that is.
    """
    with vault.data.read() as session:
        if is_in_force(session, card):
            return
    with vault.data.write() as session:
        for older in session.scalars(select(EngineRow).where(EngineRow.in_force_until.is_(None))).all():
            older.in_force_until = now.date()
            older.templates_end_on = now.date() + timedelta(days=days)
            append_open_entry(
                session,
                LoggedAct.ENGINE_CHANGED,
                on=now.date().isoformat(),
                engine=card.id,
                weights_sha256=card.weights_sha256,
                engine_before=older.engine_id,
                weights_before=older.weights_sha256,
                templates_end_on=older.templates_end_on.isoformat(),
            )
        _put_in_force(session, card, now)


def _put_in_force(session: Session, card: Card, now: datetime) -> None:
    known = session.get(EngineRow, card.weights_sha256)
    if known is None:
        known = EngineRow(weights_sha256=card.weights_sha256, engine_id=card.id)
        session.add(known)
    known.in_force_from, known.in_force_until, known.templates_end_on = now.date(), None, None


def in_force(session: Session) -> EngineRow | None:
    """Return the engine in force; None before the first start."""
    return session.scalar(select(EngineRow).where(EngineRow.in_force_until.is_(None)))


def is_in_force(session: Session, card: Card) -> bool:
    """Say whether the engine of *card* is in force."""
    found = in_force(session)
    return found is not None and found.weights_sha256 == card.weights_sha256


def refuse_if_not_in_force(session: Session, card: Card) -> None:
    """Refuse to make templates by another engine than that in force.

    Raises:
        NotInForceError: the engine of *card* is not.
    """
    if not is_in_force(session, card):
        raise NotInForceError(card, in_force(session))


def has_older(session: Session) -> bool:
    """Say whether an engine was ever superseded."""
    return session.scalar(select(EngineRow.engine_id).where(EngineRow.in_force_until.is_not(None)).limit(1)) is not None


def name_of(session: Session, weights_sha256: str) -> str:
    """Return the id of the engine with these weights."""
    known = session.get(EngineRow, weights_sha256)
    if known is not None:
        return known.engine_id
    return vectors.UNLABELLED_ENGINE if weights_sha256 == vectors.UNLABELLED_WEIGHTS else UNKNOWN
