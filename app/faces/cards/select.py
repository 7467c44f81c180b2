"""Which card the settings name: one that ships, or an operator's own with its calibration. The one place that knows."""

from app.faces.cards.card import Card, load_card
from app.faces.cards.custom_calibration import calibration_for
from app.faces.cards.custom_card import read
from app.settings import Settings


def chosen_card(settings: Settings, *, calibrated: bool = True) -> Card:
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
    own = read(path)
    return own.card(calibration_for(own, settings) if calibrated else None)
