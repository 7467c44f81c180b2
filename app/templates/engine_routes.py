"""The card of the engine in force over HTTP, for everyone."""

from typing import Any

from fastapi import APIRouter

from app.faces.cards.card import shipped_cards
from app.web.auth import OpenRoute
from app.web.dependencies import AppEngine
from app.web.openapi import Example, media_response

router = APIRouter(prefix="/v1", tags=["open to all"], route_class=OpenRoute)

SHORTENED_CARD: Example = {
    "id": "face_recognition",
    "engine": "face_recognition 1.3.0 (dlib ResNet v1, 128-d)",
    "dimensions": 128,
    "metric": "l2",
    "training_data": "About 3 million images of 7,485 people from FaceScrub, VGG Face and the web.",
    "depicted_people_agreed": False,
    "weights_sha256": "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    "in_force": {
        "target_fmr": 0.001,
        "target_group": "worst",
        "threshold": 0.52,
        "fmr": 0.000476,
        "fnmr": 0.09955,
        "fmr_by_group": {"FF": 0.000977, "MM": 0.000637, "FM": 0.000127},
        "fnmr_by_group": {"F": 0.1827, "M": 0.09604},
        "ci95_by_person": {"threshold": 0.543, "fmr": [0.00075, 0.0014], "fnmr": [0.0399, 0.093]},
    },
}
"""Without the files, the licences and the table."""
CARD = media_response("application/json", "The card; `in_force` has the current threshold.", shortened=SHORTENED_CARD)


@router.get("/engine", name="engine", responses=CARD)
def read_card(engine: AppEngine) -> dict[str, Any]:
    """Read the engine's card.

    It has the weights, the training data, whether the people in that data agreed, the error rates by group, and the
    threshold in force. `others` has the cards of the other engines of this version.
    """
    return {
        **engine.card.as_document(),
        "in_force": engine.operating_point.as_document(),
        "others": [card.as_document() for card in shipped_cards() if card.id != engine.card.id],
    }
