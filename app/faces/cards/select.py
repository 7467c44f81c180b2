"""Which card the settings name: one that ships, or an operator's own with its calibration. The one place that knows."""

from app.faces.cards.card import Card, load_card
from app.faces.cards.custom_calibration import open_calibration
from app.faces.cards.custom_card import read_custom_engine
from app.settings import Settings


def select_card(settings: Settings, *, calibrated: bool = True) -> Card:
    """Return the card of the engine that the settings name.

    Args:
        settings: with `MIEN_ENGINE`.
        calibrated: whether an operator's own must have its calibration. Without one its card supports no false match
            rate: enough to measure with, so that it gets one, and not to decide by.

    Raises:
        OwnEngineError: the operator's card, network or calibration cannot be used.
    """
    path = settings.own_card
    if path is None:
        return load_card(settings.engine)
    own = read_custom_engine(path)
    return own.card(open_calibration(own, settings) if calibrated else None)
