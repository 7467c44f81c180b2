"""Choose an engine's threshold: the operating point on its card that keeps a target false match rate."""

from dataclasses import dataclass
from typing import Any

from app.faces.cards.calibration import ByOrigin, CalibrationPoint, FnmrOverPeople, Interval, TargetGroup
from app.faces.cards.card import Card
from app.kit.errors import OperatorError
from app.settings import Settings


class UnsupportedTargetError(OperatorError, ValueError):
    """The trial on the card does not support the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A threshold and its error rates in the trials."""

    target_fmr: float
    target_group: TargetGroup
    point: CalibrationPoint
    interval: Interval
    """Interval at the nearest threshold that has one."""
    over_people: FnmrOverPeople | None
    """FNMR as the mean over people; its own threshold may be another. None if it was not measured."""
    by_origin: ByOrigin | None
    """Rates of the second trial at its nearest threshold; None without such a trial."""

    @property
    def threshold(self) -> float:
        """Two faces match at a smaller distance."""
        return self.point.threshold

    @property
    def missed_by_origin(self) -> dict[str, float]:
        """False match rates above the target, by group of the second trial."""
        rates = self.by_origin.rates if self.by_origin else {}
        return {group: rate for group, rate in rates.items() if rate > self.target_fmr}

    def as_document(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "target_fmr": self.target_fmr,
            "target_group": self.target_group,
            "counted_over": "pairs",
            **self.point.model_dump(),
            "ci95_by_person": self.interval.model_dump(mode="json"),
            "fnmr_over_people": None if self.over_people is None else self.over_people.model_dump(mode="json"),
            "worst_group": None if self.by_origin is None else _worst(self.by_origin),
            "missed_by_origin": self.missed_by_origin,
        }


def find_operating_point(
    card: Card, target_fmr: float | None = None, target_group: TargetGroup | None = None
) -> OperatingPoint:
    """Return the point with the largest threshold on the card that keeps the target.

    Args:
        card: the engine's card.
        target_fmr: by default, the rate on the card.
        target_group: group that the target applies to; by default every labelled group, if the trial has labels.

    Raises:
        UnsupportedTargetError: the trial does not support the rate, or has no groups.
    """
    calibration = card.calibration
    target = card.default_target_fmr if target_fmr is None else target_fmr
    group = calibration.finest_group if target_group is None else target_group
    if group == TargetGroup.WORST != calibration.finest_group:
        raise UnsupportedTargetError(
            f"{card.id}: {calibration.trial['name']!r} has no labelled groups: set MIEN_TARGET_GROUP=all"
        )
    if not calibration.lowest_fmr <= target < 1:
        raise UnsupportedTargetError(_unsupported(card, target, calibration.lowest_fmr))
    kept = [point for point in calibration.points if point.fmr_of(group) <= target]
    if not kept:
        raise UnsupportedTargetError(_unsupported(card, target, calibration.points[0].fmr_of(group)))
    threshold = kept[-1].threshold
    return OperatingPoint(
        target_fmr=target,
        target_group=group,
        point=kept[-1],
        interval=calibration.interval_near(threshold),
        over_people=calibration.fnmr_over_people_at(kept[-1]),
        by_origin=calibration.by_origin_near(threshold),
    )


def choose_operating_point(card: Card, settings: Settings) -> OperatingPoint:
    """Return the operating point for the target in the settings.

    Raises:
        UnsupportedTargetError: as `find_operating_point`.
    """
    group = None if settings.target_group is None else TargetGroup(settings.target_group)
    return find_operating_point(card, settings.target_fmr, group)


def _worst(by_origin: ByOrigin) -> dict[str, Any]:
    group = by_origin.worst()
    return {
        "group": group,
        "fmr": by_origin.rates[group],
        "threshold": by_origin.threshold,
        "trial": by_origin.trial,
    }


def _unsupported(card: Card, target: float, lowest: float) -> str:
    trial = card.calibration.trial["name"]
    return f"{card.id}: {trial!r} supports no false match rate of {target:g}, only {lowest:.2g} to below 1"
