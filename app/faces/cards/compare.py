"""Engines side by side: what each card says at one false match rate, and what a gallery makes of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.faces.cards.calibration import TargetGroup
from app.faces.cards.card import Card
from app.faces.cards.operating_point import OperatingPoint, UnsupportedTargetError, find_operating_point, in_force

FPIR = 1e-3
"""False positive identification rate that is asked of a gallery: one stranger in a thousand is taken for somebody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineComparison:
    """One engine, as its card has it."""

    card: Card
    at: OperatingPoint | None
    """None where the trial does not support the rate."""
    unsupported: str | None
    """Why not."""
    gallery: OperatingPoint | None
    """Where a gallery of the size asked about keeps `FPIR`, by the false match rate over all pairs."""

    def as_document(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "engine": self.card.id,
            "weights_sha256": self.card.weights_sha256,
            "metric": self.card.metric,
            "licence": self.card.licence,
            "depicted_people_agreed": self.card.depicted_people_agreed,
            "trial": self.card.calibration.trial["name"],
            "at": None if self.at is None else in_force(self.at),
            "unsupported": self.unsupported,
            "gallery": None if self.gallery is None else in_force(self.gallery),
        }


def compare_engines(
    cards: Sequence[Card], *, target_fmr: float | None, target_group: TargetGroup | None, gallery: int
) -> list[EngineComparison]:
    """Say of each engine what its card says.

    Args:
        cards: the engines.
        target_fmr: each engine's own default if not given.
        target_group: as for `operating_point`.
        gallery: of how many people; a stranger's probe meets each of them, so that FPIR is about N times FMR.
    """
    return [_compared(card, target_fmr, target_group, gallery) for card in cards]


def _compared(card: Card, target_fmr: float | None, target_group: TargetGroup | None, gallery: int) -> EngineComparison:
    point, why = None, None
    try:
        point = find_operating_point(card, target_fmr, target_group)
    except UnsupportedTargetError as error:
        why = str(error)
    return EngineComparison(card=card, at=point, unsupported=why, gallery=_in_gallery(card, gallery))


def _in_gallery(card: Card, gallery: int) -> OperatingPoint | None:
    try:
        return find_operating_point(card, FPIR / gallery, TargetGroup.ALL)
    except UnsupportedTargetError:
        return None
