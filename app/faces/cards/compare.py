"""Compare engines at one false match rate and in a gallery, from their cards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.faces.cards.calibration import TargetGroup
from app.faces.cards.card import Card
from app.faces.cards.operating_point import OperatingPoint, UnsupportedTargetError, find_operating_point
from app.faces.cards.supports import FPIR


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineComparison:
    """Figures of one engine, from its card."""

    card: Card
    at: OperatingPoint | None
    """None if the trial does not support the rate."""
    unsupported: str | None
    """Reason why the trial does not support the rate."""
    gallery: OperatingPoint | None
    """Operating point at which a gallery keeps `FPIR`, by the false match rate over all pairs."""

    def as_document(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "engine": self.card.id,
            "weights_sha256": self.card.weights_sha256,
            "metric": self.card.metric,
            "licence": self.card.licence,
            "depicted_people_agreed": self.card.depicted_people_agreed,
            "trial": self.card.calibration.trial["name"],
            "at": None if self.at is None else self.at.as_document(),
            "unsupported": self.unsupported,
            "gallery": None if self.gallery is None else self.gallery.as_document(),
        }


def compare_engines(
    cards: Sequence[Card], *, target_fmr: float | None, target_group: TargetGroup | None, gallery: int
) -> list[EngineComparison]:
    """Return the figures of each engine.

    Args:
        cards: the engines' cards.
        target_fmr: by default, the rate on each card.
        target_group: as for `find_operating_point`.
        gallery: size of the gallery. A probe is compared with each member, so FPIR is about that many times FMR.
    """
    return [_compare(card, target_fmr, target_group, gallery) for card in cards]


def _compare(card: Card, target_fmr: float | None, target_group: TargetGroup | None, gallery: int) -> EngineComparison:
    point, unsupported = _point_or_reason(card, target_fmr, target_group)
    in_gallery, _ = _point_or_reason(card, FPIR / gallery, TargetGroup.ALL)
    return EngineComparison(card=card, at=point, unsupported=unsupported, gallery=in_gallery)


def _point_or_reason(
    card: Card, target_fmr: float | None, target_group: TargetGroup | None
) -> tuple[OperatingPoint | None, str | None]:
    try:
        return find_operating_point(card, target_fmr, target_group), None
    except UnsupportedTargetError as error:
        return None, str(error)
