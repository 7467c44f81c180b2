"""Select the card that the settings name: a shipped one, or the operator's own with its calibration."""

from app.faces.cards.card import Card, load_card
from app.faces.cards.custom_calibration import open_calibration
from app.faces.cards.read_engine import read_engine
from app.settings import Settings


def select_card(settings: Settings, *, calibrated: bool = True) -> Card:
    """Return the card of the engine in `MIEN_ENGINE`.

    Args:
        settings: with the engine.
        calibrated: whether an operator's engine must have a calibration. Without one it can measure, for an
            evaluation, but its card supports no threshold.

    Raises:
        CustomEngineError: the operator's card, network or calibration cannot be used.
    """
    engine = read_engine(settings)
    if engine is None:
        return load_card(settings.engine)
    return engine.build_card(open_calibration(engine, settings) if calibrated else None)
