"""The advice in the answer to an enrolment: error rates with more photos, from the trial on the engine's card."""

import math
from dataclasses import dataclass
from typing import Final

from app.faces.cards.references import CountedOver, ReferenceFigures, ReferenceTrial
from app.faces.permit import Purpose
from app.faces.service import RunningEngine
from app.settings import Settings
from app.templates.policy import MAX_PHOTOS

_NEAR: Final = 0.5
"""Largest distance, in powers of ten, between the target in force and the rate of the figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MorePhotos:
    """False non-match rates with as many photos as were enrolled, and with more."""

    photos: int
    asked_for: int
    fnmr: float
    more_photos: int
    """The next larger number of photos in the trial."""
    fnmr_with_more: float
    at_fmr: float
    """False match rate of both figures in the trial: near the target in force."""
    counted_over: CountedOver
    trial: str

    @property
    def in_words(self) -> str:
        """The advice for the subject."""
        short = f"This service asks for {self.asked_for}. " if self.photos < self.asked_for else ""
        over = "as the mean over people" if self.counted_over == "people" else "over all pairs of photos"
        return (
            f"You enrolled {_count(self.photos)}. {short}In a trial, a person was not recognised in "
            f"{_percent(self.fnmr)} of attempts with {_count(self.photos)}, and in {_percent(self.fnmr_with_more)} "
            f"with {self.more_photos}, {over}, at a false match rate of {self.at_fmr:g}. To use more photos, enrol "
            f"again with all of them. Trial: {self.trial}."
        )


def count_asked_for(settings: Settings, purposes: frozenset[Purpose]) -> int:
    """Return the number of photos that an enrolment for *purposes* asks for."""
    return settings.identification_photos if Purpose.IDENTIFICATION in purposes else settings.enrol_photos


def advise(engine: RunningEngine, *, photos: int, asked_for: int) -> MorePhotos | None:
    """Return the advice after an enrolment of *photos*; None if the card has no figures for it."""
    trial = engine.card.calibration.references
    found = None if trial is None else _choose_figures(trial, engine.target_fmr)
    if found is None:
        return None
    more = min((count for count in found.fnmr if photos < count <= MAX_PHOTOS), default=None)
    if photos not in found.fnmr or more is None:
        return None
    return MorePhotos(
        photos=photos,
        asked_for=asked_for,
        fnmr=found.fnmr[photos],
        more_photos=more,
        fnmr_with_more=found.fnmr[more],
        at_fmr=found.fmr,
        counted_over=found.counted_over,
        trial=found.trial,
    )


def _choose_figures(trial: ReferenceTrial, target_fmr: float) -> ReferenceFigures | None:
    """Return the figures near the target: those over people if there are any, else the nearest ones."""
    apart = [(abs(math.log10(one.fmr / target_fmr)), one) for one in trial.figures()]
    near = [(one.counted_over != "people", distance, one) for distance, one in apart if distance <= _NEAR]
    return min(near, key=lambda each: each[:2])[2] if near else None


def _count(photos: int) -> str:
    return "1 photo" if photos == 1 else f"{photos} photos"


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %"
