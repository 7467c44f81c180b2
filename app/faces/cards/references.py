"""Error rates by the number of enrolled photos, as a card states them."""

from typing import Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict

CountedOver: TypeAlias = Literal["people", "pairs"]
"""Whether each person counts once, or each pair of photos."""


class ReferenceRow(BaseModel):
    """Error rates with a number of enrolled photos."""

    model_config = ConfigDict(frozen=True)

    references: int
    fnmr_of_mean: dict[float, float]
    """False non-match rate with the mean of the photos as the reference, by false match rate."""


class RowOverPeople(BaseModel):
    """Mean over people with a number of enrolled photos."""

    model_config = ConfigDict(frozen=True)

    references: int
    fnmr_of_mean: float


class ReferencesOverPeople(BaseModel):
    """Means over people by the number of enrolled photos, at one false match rate."""

    model_config = ConfigDict(frozen=True)

    trial: str
    fmr: float
    rows: tuple[RowOverPeople, ...]


class ReferenceFigures(NamedTuple):
    """False non-match rate by the number of enrolled photos, at one false match rate."""

    fmr: float
    fnmr: dict[int, float]
    trial: str
    counted_over: CountedOver


class ReferenceTrial(BaseModel):
    """Error rates by the number of enrolled photos, in a named trial."""

    model_config = ConfigDict(frozen=True)

    trial: str
    rows: tuple[ReferenceRow, ...]
    over_people: ReferencesOverPeople | None = None
    """From another run."""

    def figures(self) -> list[ReferenceFigures]:
        """Return the figures at each false match rate, those over people first."""
        over_people = [] if self.over_people is None else [self.over_people]
        by_rate: dict[float, dict[int, float]] = {}
        for row in self.rows:
            for fmr, fnmr in row.fnmr_of_mean.items():
                by_rate.setdefault(fmr, {})[row.references] = fnmr
        return [
            *(
                ReferenceFigures(one.fmr, {row.references: row.fnmr_of_mean for row in one.rows}, one.trial, "people")
                for one in over_people
            ),
            *(ReferenceFigures(fmr, fnmr, self.trial, "pairs") for fmr, fnmr in by_rate.items()),
        ]
