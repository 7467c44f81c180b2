"""At which threshold an engine is run: the operating point that a target false match rate picks from its card."""

from dataclasses import dataclass
from typing import Any

from app.faces.cards.calibration import ByOrigin, CalibrationPoint, Interval, TargetGroup
from app.faces.cards.card import Card
from app.settings import Settings


class UnsupportedTargetError(ValueError):
    """The trial on the card supports no such target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A threshold, and what the trials say of it."""

    target_fmr: float
    target_group: TargetGroup
    point: CalibrationPoint
    interval: Interval
    """At the stated threshold nearest to it."""
    by_origin: ByOrigin | None
    """The same, of the second trial, where there is one."""

    @property
    def threshold(self) -> float:
        """A distance below it is a match."""
        return self.point.threshold

    @property
    def missed_by_origin(self) -> dict[str, float]:
        """The groups of the second trial in which the target is missed, and their false match rates."""
        rates = self.by_origin.rates if self.by_origin else {}
        return {group: rate for group, rate in rates.items() if rate > self.target_fmr}


def find_operating_point(
    card: Card, target_fmr: float | None = None, target_group: TargetGroup | None = None
) -> OperatingPoint:
    """Return the point with the largest threshold of the card's table at which the target is kept.

    Args:
        card: of the engine.
        target_fmr: the card's own default if not given.
        target_group: in whom it is to be kept: every labelled group if not given, where the trial has labels.

    Raises:
        UnsupportedTargetError: the trial supports no such rate, or has no groups.
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
    held = [point for point in calibration.points if point.fmr_of(group) <= target]
    if not held:
        raise UnsupportedTargetError(_unsupported(card, target, calibration.points[0].fmr_of(group)))
    threshold = held[-1].threshold
    return OperatingPoint(
        target_fmr=target,
        target_group=group,
        point=held[-1],
        interval=calibration.interval_near(threshold),
        by_origin=calibration.by_origin_near(threshold),
    )


def choose_operating_point(card: Card, settings: Settings) -> OperatingPoint:
    """Return the point at which the settings run the engine.

    Raises:
        UnsupportedTargetError: as `operating_point`.
    """
    group = None if settings.target_group is None else TargetGroup(settings.target_group)
    return find_operating_point(card, settings.target_fmr, group)


def in_force(operating: OperatingPoint) -> dict[str, Any]:
    """Return an operating point as plain JSON values."""
    point, interval, by_origin = operating.point, operating.interval, operating.by_origin
    return {
        "target_fmr": operating.target_fmr,
        "target_group": operating.target_group,
        "threshold": point.threshold,
        "fmr": point.fmr,
        "fnmr": point.fnmr,
        "fmr_by_group": dict(point.fmr_by_group),
        "fnmr_by_group": dict(point.fnmr_by_group),
        "ci95_by_person": {"threshold": interval.threshold, "fmr": interval.fmr, "fnmr": interval.fnmr},
        "worst_group": None if by_origin is None else _worst(by_origin),
        "missed_by_origin": operating.missed_by_origin,
    }


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
