"""An engine's card: where it comes from, whose faces it learnt from, and the error rates it showed on a named trial.

Law 12: a threshold is a false match rate on that trial, with its interval and its worst group; weights without a
card, or with another hash than the card's, do not load.
"""

import functools
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.faces.cards.calibration import UNCALIBRATED, Calibration, parse_calibration
from app.faces.engine import METRICS, Metric

_TOLD = ("id", "dimensions", "metric", "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Everything said about one engine; ``as_document`` is what the world is shown."""

    id: str
    weights_sha256: str
    """Of the file that gives the vectors their meaning; kept with every template."""
    digests: Mapping[str, str]
    """SHA-256 of each file that the engine may load, by name."""
    dimensions: int
    metric: Metric
    """What its thresholds are distances in."""
    settings: Mapping[str, Any]
    """How the engine is run, told to the workers as it is; with its id, dimensions, metric and weights."""
    default_target_fmr: float
    """The false match rate that it is run at unless the operator says otherwise."""
    licence: str
    training_data: str
    depicted_people_agreed: bool
    pipeline: str
    """How the trial was run."""
    calibration: Calibration
    document: Mapping[str, Any] = field(repr=False)

    def as_document(self) -> dict[str, Any]:
        """Return the whole card as plain JSON values: a copy, free to add to."""
        copy: dict[str, Any] = json.loads(json.dumps(self.document))
        return copy


@functools.cache
def shipped_cards() -> tuple[Card, ...]:
    """Return every card that ships with Mien, by id."""
    names = sorted(entry.name for entry in _directory().iterdir() if entry.name.endswith(".json"))
    return tuple(load_card(name.removesuffix(".json")) for name in names)


def load_card(engine_id: str) -> Card:
    """Return the card that ships with Mien.

    Raises:
        LookupError: there is none; such an engine must not be loaded.
    """
    if f"{engine_id}.json" not in {entry.name for entry in _directory().iterdir()}:
        raise LookupError(engine_id)
    return parse_card(json.loads((_directory() / f"{engine_id}.json").read_text("utf-8")))


def parse_card(document: Mapping[str, Any], *, calibrated: bool = True) -> Card:
    """Read a card from its document.

    Args:
        document: what it says.
        calibrated: whether it has a calibration. One without supports no false match rate: it cannot be decided by.

    Raises:
        KeyError, ValueError: it does not say everything that a card must say.
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
        settings={**document["settings"], **{name: document[name] for name in _TOLD}},
        default_target_fmr=document["default_target_fmr"],
        licence=document["licence"],
        training_data=document["training_data"],
        depicted_people_agreed=document["depicted_people_agreed"],
        pipeline=document["pipeline"],
        calibration=parse_calibration(document["calibration"]) if calibrated else UNCALIBRATED,
        document={**document, "weights_sha256": digests[document["weights"]]},
    )


def _directory() -> importlib.resources.abc.Traversable:
    return importlib.resources.files("app.faces") / "cards"
