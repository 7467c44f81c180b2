"""Engine card: origin, training data, and error rates in a named trial.

Law 12: a threshold is a false match rate in that trial, with its interval and its worst group. Weights without a card,
or with another hash than on the card, do not load.
"""

import functools
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Any

from app.faces.cards.calibration import UNCALIBRATED, Calibration
from app.faces.engine import METRICS, Metric

_SETTINGS_FROM_CARD = ("id", "dimensions", "metric", "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Description of one engine; ``as_document`` is its public form."""

    id: str
    weights_sha256: str
    """Hash of the network that describes faces; stored with every template."""
    digests: Mapping[str, str]
    """SHA-256 of each file that the engine may load, by name."""
    dimensions: int
    metric: Metric
    """Metric of the distances that its thresholds limit."""
    settings: Mapping[str, Any]
    """Settings for the engine in a worker, with its id, dimensions, metric and weights."""
    default_target_fmr: float
    """Target false match rate unless the operator sets another."""
    licence: str
    training_data: str
    depicted_people_agreed: bool
    pipeline: str
    """Conditions of the trial."""
    calibration: Calibration
    document: Mapping[str, Any] = field(repr=False)
    converted: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each copy that can be made of the models, by name (`app/faces/workers/converted_network.py`)."""
    not_converted: str | None = None
    """Why the copies could not be made."""

    def as_document(self) -> dict[str, Any]:
        """Return a copy of the whole card as plain JSON values."""
        copy: dict[str, Any] = json.loads(json.dumps(self.document))
        return copy


@functools.cache
def shipped_cards() -> tuple[Card, ...]:
    """Return every card that ships with Mien, by id."""
    return tuple(load_card(engine_id) for engine_id in sorted(_documents()))


def load_card(engine_id: str) -> Card:
    """Return the card that ships with Mien.

    Raises:
        LookupError: there is none, so the engine must not be loaded.
    """
    if (document := _documents().get(engine_id)) is None:
        raise LookupError(engine_id)
    return parse_card(json.loads(document.read_text("utf-8")))


def parse_card(document: Mapping[str, Any], *, calibrated: bool = True) -> Card:
    """Read a card from its document.

    Args:
        document: the card as JSON values.
        calibrated: whether it has a calibration; without one it supports no threshold.

    Raises:
        KeyError, ValueError: a required member is missing or invalid.
    """
    if document["metric"] not in METRICS:
        raise ValueError(document["metric"])
    digests = {file["name"]: file["sha256"] for file in document["files"]}
    return Card(
        id=document["id"],
        weights_sha256=digests[document["weights"]],
        digests=digests,
        dimensions=document["dimensions"],
        metric=document["metric"],
        settings={**document["settings"], **{name: document[name] for name in _SETTINGS_FROM_CARD}},
        default_target_fmr=document["default_target_fmr"],
        licence=document["licence"],
        training_data=document["training_data"],
        depicted_people_agreed=document["depicted_people_agreed"],
        pipeline=document["pipeline"],
        calibration=Calibration.model_validate(document["calibration"]) if calibrated else UNCALIBRATED,
        converted={file["name"]: file["sha256"] for file in document.get("converted", {"files": []})["files"]},
        document={**document, "weights_sha256": digests[document["weights"]]},
    )


def _documents() -> dict[str, Traversable]:
    entries = (importlib.resources.files("app.faces") / "cards").iterdir()
    return {entry.name.removesuffix(".json"): entry for entry in entries if entry.name.endswith(".json")}
