"""Read the card of an operator's engine: of one network, or of two that are fused."""

from app.faces.cards.custom_card import OperatorEngine, read_custom_engine
from app.faces.cards.fused_card import read_fused_engine
from app.settings import Settings


def read_engine(settings: Settings) -> OperatorEngine | None:
    """Return the operator's engine that `MIEN_ENGINE` names; None for an engine that ships.

    Raises:
        CustomEngineError: its card or a network cannot be used.
    """
    if settings.custom_card is None:
        return None
    read = {"onnx": read_custom_engine, "fused": read_fused_engine}[settings.engine_kind]
    return read(settings.custom_card)
