"""Calibration of an engine: error rates at each threshold of a trial, by group, with intervals over people."""

from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.faces.cards.references import ReferenceTrial
from app.faces.cards.supports import Supports


class TargetGroup(StrEnum):
    """Group that a target false match rate applies to."""

    ALL = "all"
    """All pairs of different people, on average: some groups may exceed the rate."""
    WORST = "worst"
    """In every labelled group of the trial."""


class PeopleRates(BaseModel):
    """Rates in which each person counts once for FNMR, and each two people for FMR, however many photos they have."""

    model_config = ConfigDict(frozen=True)

    fmr: float
    fnmr: float
    fmr_by_group: dict[str, float]
    fnmr_by_group: dict[str, float]


class CalibrationPoint(BaseModel):
    """One row of a calibration table. A distance **below** the threshold is a match."""

    model_config = ConfigDict(frozen=True)

    threshold: float
    fmr: float
    """False match rate over all pairs of different people."""
    fnmr: float
    fmr_by_group: dict[str, float]
    """By the labels of the two people of a pair: FF, MM, FM. Empty if the trial has no labels."""
    fnmr_by_group: dict[str, float]
    over_people: PeopleRates | None = None
    """None if the trial has rates over pairs only."""

    def fmr_of(self, group: TargetGroup) -> float:
        """Return the false match rate over all pairs, or the highest of any labelled group."""
        return self.fmr if group == TargetGroup.ALL else max(self.fmr, *self.fmr_by_group.values())


class Bounds(BaseModel):
    """The 95 % intervals of both rates. People are resampled, not pairs, since pairs share people."""

    model_config = ConfigDict(frozen=True)

    fmr: tuple[float, float]
    fnmr: tuple[float, float]


class Interval(Bounds):
    """The intervals at one threshold."""

    threshold: float
    over_people: Bounds | None = None
    """Intervals of the rates over people."""


class FnmrOverPeople(BaseModel):
    """False non-match rate as the mean over people, at one threshold."""

    model_config = ConfigDict(frozen=True)

    threshold: float
    fnmr: float
    fnmr_by_group: dict[str, float] = Field(default_factory=dict)
    ci95_by_person: tuple[float, float] | None = None
    trial: str
    over_pairs: float
    """The rate over pairs in the same run."""
    over_pairs_without_largest_person: float | None = None


class ByOrigin(NamedTuple):
    """False match rates between people of one origin and sex, in a second trial, at one threshold."""

    trial: str
    threshold: float
    rates: dict[str, float]

    def worst(self) -> str:
        """Return the group with the highest rate."""
        return max(self.rates, key=lambda group: self.rates[group])


def _by_threshold(points: tuple[CalibrationPoint, ...]) -> tuple[CalibrationPoint, ...]:
    return tuple(sorted(points, key=lambda point: point.threshold))


class Calibration(BaseModel):
    """Error rates of an engine in one trial, as a card states them."""

    model_config = ConfigDict(frozen=True)

    trial: dict[str, Any]
    points: Annotated[
        tuple[CalibrationPoint, ...], Field(validation_alias="table", min_length=1), AfterValidator(_by_threshold)
    ]
    """By rising threshold."""
    intervals: Annotated[tuple[Interval, ...], Field(validation_alias="ci95_by_person")]
    largest_person_share: float | None = None
    """Share of the genuine pairs that are of the person with the most photos."""
    fnmr_over_people: FnmrOverPeople | None = None
    """From another run, where the table has rates over pairs only."""
    supports: Supports | None = None
    """Galleries that were tried."""
    fmr_by_origin: dict[str, Any] | None = None
    """A second trial, of people of several origins: ``thresholds`` maps a threshold to each group's FMR."""
    references: ReferenceTrial | None = None

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

    def fnmr_over_people_at(self, point: CalibrationPoint) -> FnmrOverPeople | None:
        """Return FNMR over people at *point*, or at the only threshold where another run has it."""
        if point.over_people is None:
            return self.fnmr_over_people
        interval = next((one for one in self.intervals if one.threshold == point.threshold), None)
        return FnmrOverPeople(
            threshold=point.threshold,
            fnmr=point.over_people.fnmr,
            fnmr_by_group=point.over_people.fnmr_by_group,
            ci95_by_person=interval.over_people.fnmr if interval and interval.over_people else None,
            trial=self.trial["name"],
            over_pairs=point.fnmr,
        )

    def by_origin_near(self, threshold: float) -> ByOrigin | None:
        """Return the rates of the trial by origin at its nearest threshold."""
        if self.fmr_by_origin is None:
            return None
        thresholds = self.fmr_by_origin["thresholds"]
        nearest = min(thresholds, key=lambda text: abs(float(text) - threshold))
        return ByOrigin(self.fmr_by_origin["trial"], float(nearest), thresholds[nearest])


UNCALIBRATED = Calibration.model_construct(trial={"name": "no trial"}, points=(), intervals=())
"""Calibration of a network before its evaluation. It supports no false match rate, so it has no threshold."""
