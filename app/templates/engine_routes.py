"""The card of the engine in force over HTTP, for everyone."""

from typing import Any

from fastapi import APIRouter

from app.faces.cards.card import load_card, shipped_cards
from app.faces.cards.operating_point import find_operating_point
from app.web.auth import OpenRoute
from app.web.dependencies import AppEngine
from app.web.openapi import Example, media_response

router = APIRouter(prefix="/v1", tags=["open to all"], route_class=OpenRoute)

_CARD = load_card("face_recognition")
_SHOWN = ("id", "engine", "dimensions", "metric", "training_data", "depicted_people_agreed", "weights_sha256")
SHORTENED_CARD: Example = {
    **{name: _CARD.document[name] for name in _SHOWN},
    "in_force": find_operating_point(_CARD).as_document(),
}
"""Without the files, the licences and the table."""
CARD = media_response("application/json", "The card; `in_force` has the current threshold.", shortened=SHORTENED_CARD)


@router.get("/engine", responses=CARD)
def get_engine(engine: AppEngine) -> dict[str, Any]:
    """Read the engine's card.

    It has the weights, the training data, whether the people in that data agreed, the error rates by group, and the
    threshold in force. `counted_over` tells what a rate counts: with `pairs`, a person with many photos counts more.
    `fnmr_over_people` counts each person once. `galleries` has the largest gallery that the trial supports; null if
    none was tried, so that none is supported. `others` has the cards of the other engines of this version.
    """
    supports = engine.card.calibration.supports
    return {
        **engine.card.as_document(),
        "in_force": engine.operating_point.as_document(),
        "galleries": None if supports is None else supports.as_document(),
        "others": [card.as_document() for card in shipped_cards() if card.id != engine.card.id],
    }
