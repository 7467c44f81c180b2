"""Calibration of an engine: error rates at each threshold of a trial, by group, with intervals over people."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class TargetGroup(StrEnum):
    """Group that a target false match rate applies to."""

    ALL = "all"
    """All pairs of different people, on average: some groups may exceed the rate."""
    WORST = "worst"
    """In every labelled group of the trial."""


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """One row of a calibration table. A distance **below** the threshold is a match."""

    threshold: float
    fmr: float
    """False match rate over all pairs of different people."""
    fnmr: float
    fmr_by_group: Mapping[str, float]
    """By the labels of the two people of a pair: FF, MM, FM. Empty if the trial has no labels."""
    fnmr_by_group: Mapping[str, float]

    def fmr_of(self, group: TargetGroup) -> float:
        """Return the false match rate over all pairs, or the highest of any labelled group."""
        return self.fmr if group == TargetGroup.ALL else max(self.fmr, *self.fmr_by_group.values())


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

    def worst(self) -> str:
        """Return the group with the highest rate."""
        return max(self.rates, key=lambda group: self.rates[group])


@dataclass(frozen=True, slots=True)
class Calibration:
    """Error rates of an engine in one trial."""

    trial: Mapping[str, Any]
    points: tuple[CalibrationPoint, ...]
    """By rising threshold."""
    intervals: tuple[Interval, ...]
    fmr_by_origin: Mapping[str, Any] | None
    """A second trial, of people of several origins: ``thresholds`` maps a threshold to each group's FMR."""

    @property
    def lowest_fmr(self) -> float:
        """Lowest false match rate that the trial supports: the lowest upper end of its intervals over people.

        The trial may show lower rates over all pairs, but has too few people to support them.
        """
        return min((one.fmr[1] for one in self.intervals if one.fmr[0] > 0), default=1.0)

    @property
    def finest_group(self) -> TargetGroup:
        """``worst`` if every row has the rates of labelled groups, else ``all``."""
        labelled = all(point.fmr_by_group for point in self.points)
        return TargetGroup.WORST if labelled else TargetGroup.ALL

    def interval_near(self, threshold: float) -> Interval:
        """Return the intervals at the nearest threshold that has them."""
        return min(self.intervals, key=lambda interval: abs(interval.threshold - threshold))

    def by_origin_near(self, threshold: float) -> ByOrigin | None:
        """Return the rates of the trial by origin at its nearest threshold."""
        if self.fmr_by_origin is None:
            return None
        thresholds = self.fmr_by_origin["thresholds"]
        stated = min(thresholds, key=lambda text: abs(float(text) - threshold))
        return ByOrigin(self.fmr_by_origin["trial"], float(stated), thresholds[stated])


UNCALIBRATED = Calibration(trial={"name": "no trial"}, points=(), intervals=(), fmr_by_origin=None)
"""Calibration of a network before its evaluation. It supports no false match rate, so it has no threshold."""


def parse_calibration(document: Mapping[str, Any]) -> Calibration:
    """Read a calibration from its document.

    Raises:
        KeyError, ValueError: a required member is missing or invalid.
    """
    points = [
        CalibrationPoint(row["threshold"], row["fmr"], row["fnmr"], row["fmr_by_group"], row["fnmr_by_group"])
        for row in document["table"]
    ]
    if not points:
        raise ValueError("an empty table")
    intervals = (
        Interval(row["threshold"], _pair(row["fmr"]), _pair(row["fnmr"])) for row in document["ci95_by_person"]
    )
    return Calibration(
        trial=document["trial"],
        points=tuple(sorted(points, key=lambda point: point.threshold)),
        intervals=tuple(intervals),
        fmr_by_origin=document.get("fmr_by_origin"),
    )


def _pair(bounds: list[float]) -> tuple[float, float]:
    low, high = bounds
    return low, high
