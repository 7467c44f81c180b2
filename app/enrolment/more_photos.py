"""The advice in the answer to an enrolment: error rates with more photos, from the trial on the engine's card."""

import math
from dataclasses import dataclass
from typing import Final

from app.faces.cards.calibration import ReferenceTrial
from app.faces.permit import Purpose
from app.faces.service import RunningEngine
from app.settings import Settings
from app.templates.policy import MAX_PHOTOS

_NEAR: Final = 0.5
"""Largest distance, in powers of ten, between the false match rate in force and that of the figures."""


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
    """False match rate of both figures in the trial: the nearest one to the rate in force."""
    trial: str

    @property
    def in_words(self) -> str:
        """The advice for the subject."""
        short = f"This service asks for {self.asked_for}. " if self.photos < self.asked_for else ""
        return (
            f"You enrolled {_count(self.photos)}. {short}In the trial {self.trial!r}, the person was not recognised in "
            f"{_percent(self.fnmr)} of attempts with {_count(self.photos)}, and in {_percent(self.fnmr_with_more)} "
            f"with {self.more_photos}, at a false match rate of {self.at_fmr:g}. To use more photos, enrol again with "
            "all of them."
        )


def count_asked_for(settings: Settings, purposes: frozenset[Purpose]) -> int:
    """Return the number of photos that an enrolment for *purposes* asks for."""
    return settings.identification_photos if Purpose.IDENTIFICATION in purposes else settings.enrol_photos


def advise(engine: RunningEngine, *, photos: int, asked_for: int) -> MorePhotos | None:
    """Return the advice after an enrolment of *photos*; None if the card has no figures for it."""
    trial = engine.card.calibration.references
    if trial is None or (at_fmr := _nearest_rate(trial, engine.operating_point.point.fmr)) is None:
        return None
    fnmr = {row.references: row.fnmr_of_mean[at_fmr] for row in trial.rows if at_fmr in row.fnmr_of_mean}
    more = min((count for count in fnmr if photos < count <= MAX_PHOTOS), default=None)
    if photos not in fnmr or more is None:
        return None
    return MorePhotos(
        photos=photos,
        asked_for=asked_for,
        fnmr=fnmr[photos],
        more_photos=more,
        fnmr_with_more=fnmr[more],
        at_fmr=at_fmr,
        trial=trial.trial,
    )


def _nearest_rate(trial: ReferenceTrial, fmr: float) -> float | None:
    rates = {rate for row in trial.rows for rate in row.fnmr_of_mean}
    apart = {rate: abs(math.log10(rate / fmr)) for rate in rates if fmr > 0}
    nearest = min(apart, key=lambda rate: apart[rate], default=None)
    return nearest if nearest is not None and apart[nearest] <= _NEAR else None


def _count(photos: int) -> str:
    return "1 photo" if photos == 1 else f"{photos} photos"


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %"
