"""The engine in force and its predecessors. Templates never cross from one engine to another.

The hash of its weights identifies an engine. When the service starts with other weights, the previous engine is
*superseded*: its templates are no longer compared, and end on a day that is fixed at once. Until that day a return to
the engine puts it in force again, with its templates.
"""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.faces.cards.card import Card
from app.kit.crash_points import operation
from app.kit.errors import OperatorError
from app.templates.tables import EngineRow
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault.vault import Vault


class NotInForceError(OperatorError):
    """Templates can only be made and renewed with the engine in force."""

    def __init__(self, card: Card, in_force: EngineRow | None) -> None:
        """Compose the message about the engine of *card* and the one in force."""
        last = "no engine yet" if in_force is None else f"{in_force.engine_id} ({in_force.weights_sha256[:8]})"
        super().__init__(
            f"the engine {card.id} ({card.weights_sha256[:8]}) is not in force: the service was last started with "
            f"{last}. Set MIEN_ENGINE to that, or start the service with this one first"
        )


@operation("changing the engine")
def put_in_force(vault: Vault, card: Card, *, days: int, now: datetime) -> None:
    """Put the engine of *card* in force and supersede any other, whose templates then end in *days* days.

    Repeating it is harmless.
    """
    with vault.data.read() as session:
        if is_in_force(session, card):
            return
    with vault.data.write() as session:
        for previous in session.scalars(select(EngineRow).where(EngineRow.in_force_until.is_(None))).all():
            previous.in_force_until = now.date()
            previous.templates_end_on = now.date() + timedelta(days=days)
            append_open_entry(
                session,
                LoggedAct.ENGINE_CHANGED,
                on=now.date().isoformat(),
                engine=card.id,
                weights_sha256=card.weights_sha256,
                engine_before=previous.engine_id,
                weights_before=previous.weights_sha256,
                templates_end_on=previous.templates_end_on.isoformat(),
            )
        row = session.get(EngineRow, card.weights_sha256)
        if row is None:
            row = EngineRow(weights_sha256=card.weights_sha256, engine_id=card.id)
            session.add(row)
        row.in_force_from, row.in_force_until, row.templates_end_on = now.date(), None, None


def engine_in_force(session: Session) -> EngineRow | None:
    """Return the engine in force; None before the first start."""
    return session.scalar(select(EngineRow).where(EngineRow.in_force_until.is_(None)))


def is_in_force(session: Session, card: Card) -> bool:
    """Return whether the engine of *card* is in force."""
    engine = engine_in_force(session)
    return engine is not None and engine.weights_sha256 == card.weights_sha256


def require_in_force(session: Session, card: Card) -> None:
    """Raise `NotInForceError` unless the engine of *card* is in force."""
    if not is_in_force(session, card):
        raise NotInForceError(card, engine_in_force(session))


def has_superseded(session: Session) -> bool:
    """Return whether any engine was ever superseded."""
    return session.scalar(select(EngineRow.engine_id).where(EngineRow.in_force_until.is_not(None)).limit(1)) is not None
