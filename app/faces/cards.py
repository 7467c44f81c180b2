"""An engine's card: where it comes from, whose faces it learnt from, and the error rates it showed on a named trial.

Law 12: a threshold is a false match rate on that trial, with its interval and its worst group; weights without a
card, or with another hash than the card's, do not load.
"""

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """One row of a calibration table. A distance **below** the threshold is a match."""

    threshold: float
    fmr: float
    """False match rate over all pairs of different people."""
    fnmr: float
    fmr_by_group: Mapping[str, float]
    """By the labels of the two people of a pair: FF, MM, FM."""
    fnmr_by_group: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Interval:
    """The 95 % intervals at one threshold, people resampled rather than pairs (pairs share people)."""

    threshold: float
    fmr: tuple[float, float]
    fnmr: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ByOrigin:
    """False match rates between people of one origin and sex, in a second trial, at one threshold."""

    trial: str
    threshold: float
    rates: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one trial says about an engine."""

    trial: Mapping[str, Any]
    points: tuple[CalibrationPoint, ...]
    """By rising threshold."""
    intervals: tuple[Interval, ...]
    fmr_floor: float
    """3 / pairs: below it the trial has seen too few pairs to state a rate at all."""
    fmr_by_origin: Mapping[str, Any]
    """A second trial, of people of several origins: ``thresholds`` maps a threshold to each group's FMR."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Everything said about one engine; ``as_document`` is what the world is shown."""

    id: str
    weights_sha256: str
    """Of the file that gives the vectors their meaning; kept with every template."""
    digests: Mapping[str, str]
    """SHA-256 of each file that the engine may load, by name."""
    dimensions: int
    metric: Literal["l2"]
    licence: str
    training_data: str
    depicted_people_agreed: bool
    pipeline: str
    calibration: Calibration
    document: Mapping[str, Any] = field(repr=False)

    def threshold_at(self, target_fmr: float) -> CalibrationPoint:
        """Return the point of the largest threshold whose false match rate over all pairs is at most *target_fmr*.

        Raises:
            ValueError: the trial supports no such rate.
        """
        if not self.calibration.fmr_floor <= target_fmr < 1:
            raise ValueError(self._unsupported(target_fmr))
        held = [point for point in self.calibration.points if point.fmr <= target_fmr]
        if not held:
            raise ValueError(self._unsupported(target_fmr))
        return held[-1]

    def interval_near(self, threshold: float) -> Interval:
        """Return the stated intervals at the threshold nearest to *threshold*."""
        return min(self.calibration.intervals, key=lambda interval: abs(interval.threshold - threshold))

    def by_origin_near(self, threshold: float) -> ByOrigin:
        """Return the rates of the trial by origin, at the stated threshold nearest to *threshold*."""
        by_origin = self.calibration.fmr_by_origin
        stated = min(by_origin["thresholds"], key=lambda text: abs(float(text) - threshold))
        return ByOrigin(by_origin["trial"], float(stated), by_origin["thresholds"][stated])

    def worst_group_near(self, threshold: float) -> dict[str, Any]:
        """Return the group with the highest false match rate in the trial by origin, and at which threshold."""
        found = self.by_origin_near(threshold)
        group = max(found.rates, key=lambda name: found.rates[name])
        return {"group": group, "fmr": found.rates[group], "threshold": found.threshold, "trial": found.trial}

    def as_document(self) -> dict[str, Any]:
        """Return the whole card as plain JSON values: a copy, free to add to."""
        copy: dict[str, Any] = json.loads(json.dumps(self.document))
        return copy

    def _unsupported(self, target_fmr: float) -> str:
        lowest = max(self.calibration.fmr_floor, self.calibration.points[0].fmr)
        trial = self.calibration.trial["name"]
        return f"{self.id}: {trial!r} supports no false match rate of {target_fmr:g}, only {lowest:.2g} to below 1"


def load_card(engine_id: str) -> Card:
    """Return the card that ships with Mien.

    Raises:
        LookupError: there is none; such an engine must not be loaded.
    """
    shipped = importlib.resources.files("app.faces") / "cards"
    names = {entry.name for entry in shipped.iterdir()}
    if f"{engine_id}.json" not in names:
        raise LookupError(engine_id)
    return card_of(json.loads((shipped / f"{engine_id}.json").read_text("utf-8")))


def card_of(document: Mapping[str, Any]) -> Card:
    """Read a card from its document.

    Raises:
        KeyError, ValueError: it does not say everything that a card must say.
    """
    if document["metric"] != "l2":
        raise ValueError(document["metric"])
    digests = {file["name"]: file["sha256"] for file in document["files"]}
    return Card(
        id=document["id"],
        weights_sha256=digests[document["weights"]],
        digests=digests,
        dimensions=document["dimensions"],
        metric="l2",
        licence=document["licence"],
        training_data=document["training_data"],
        depicted_people_agreed=document["depicted_people_agreed"],
        pipeline=document["pipeline"],
        calibration=_calibration(document["calibration"]),
        document={**document, "weights_sha256": digests[document["weights"]]},
    )


def _calibration(document: Mapping[str, Any]) -> Calibration:
    points = [
        CalibrationPoint(row["threshold"], row["fmr"], row["fnmr"], row["fmr_by_group"], row["fnmr_by_group"])
        for row in document["table"]
    ]
    intervals = (
        Interval(row["threshold"], _pair(row["fmr"]), _pair(row["fnmr"])) for row in document["ci95_by_person"]
    )
    return Calibration(
        trial=document["trial"],
        points=tuple(sorted(points, key=lambda point: point.threshold)),
        intervals=tuple(intervals),
        fmr_floor=document["pairs_floor"],
        fmr_by_origin=document["fmr_by_origin"],
    )


def _pair(bounds: list[float]) -> tuple[float, float]:
    low, high = bounds
    return low, high
