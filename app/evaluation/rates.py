"""Rates from counts: calibration table, reported thresholds, error curve, histograms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from app.evaluation.groups import Groups, Ints
from app.evaluation.scores import FINE, Tally

TARGETS: Final = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""False match rates. Intervals are reported at the threshold nearest to each."""
HIGHEST_FMR: Final = 0.1
"""The table ends here: no door operates at a higher rate."""
RULE_OF_THREE: Final = 3
"""If n trials show none, the rate is below 3/n with 95 % confidence (ISO/IEC 19795-1); fewer than three are too few."""
_NEAR: Final = 0.5
"""Largest distance, in powers of ten, between a target and the rate of its threshold."""


def round_rate(rate: float) -> float:
    """Return *rate* with four significant digits; the trial supports no more."""
    return float(f"{rate:.4g}")


@dataclass(frozen=True, slots=True)
class _Errors:
    """Errors at each edge and all comparisons, by group or pair of groups."""

    names: tuple[str, ...]
    """Of the rows; the last row has none."""
    errors: npt.NDArray[Any]
    comparisons: npt.NDArray[Any]

    def rate(self, place: int) -> float:
        """Return the rate at an edge."""
        return round_rate(self.errors[:, place].sum() / self.comparisons.sum())

    def by_name(self, place: int) -> dict[str, float]:
        """Return the rate of each row at an edge; without those that have no comparison."""
        return {
            name: round_rate(self.errors[row, place] / self.comparisons[row])
            for row, name in enumerate(self.names)
            if self.comparisons[row]
        }

    def sizes(self) -> dict[str, int]:
        """Return the number of comparisons of each row that has any."""
        return {name: round(self.comparisons[row]) for row, name in enumerate(self.names) if self.comparisons[row]}


_BothErrors: TypeAlias = tuple[_Errors, _Errors]
"""False matches, and false non-matches."""


@dataclass(frozen=True)
class Rates:
    """Rates of a tally at each threshold of the table."""

    tally: Tally
    groups: Groups

    @cached_property
    def genuine_pairs(self) -> int:
        """The number of comparisons of one person."""
        return int(self.tally.genuine.sum())

    @cached_property
    def impostor_pairs(self) -> int:
        """The number of comparisons of two people."""
        return int(self.tally.impostor.sum())

    @property
    def floor(self) -> float:
        """The lowest false match rate that this number of pairs supports."""
        return RULE_OF_THREE / self.impostor_pairs

    def thresholds(self) -> list[int]:
        """Return the places of the table's thresholds: from three false matches on, up to ``HIGHEST_FMR``."""
        matches, most = self._matches(), HIGHEST_FMR * self.impostor_pairs
        enough = [place for place in range(0, len(self.tally.edges), FINE) if matches[place] >= RULE_OF_THREE]
        return enough[: sum(matches[place] < most for place in enough) + 1]

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each threshold, as on a card."""
        return self._rows(self.thresholds())

    def row_at(self, threshold: float) -> dict[str, Any]:
        """Return the row of the counted threshold nearest to *threshold*."""
        return self._rows([int(np.abs(self.tally.edges - threshold).argmin())])[0]

    def _rows(self, places: Sequence[int]) -> list[dict[str, Any]]:
        matches, people = self._matches(), self._people
        return [
            {
                "threshold": round_rate(self.tally.edges[place]),
                "false_matches": int(matches[place]),
                **_rates(self._pairs, place),
                "over_people": None if people is None else _rates(people, place),
            }
            for place in places
        ]

    def pairs_by_group(self) -> dict[str, int]:
        """Return the number of impostor pairs between any two groups."""
        return self._pairs[0].sizes()

    def genuine_by_group(self) -> dict[str, int]:
        """Return the number of genuine pairs in each group."""
        return self._pairs[1].sizes()

    def typical_genuine(self) -> float:
        """Return the median distance within one person: the edge below which half of the genuine pairs are."""
        below = self.tally.below(self.tally.genuine.sum(axis=0))
        return float(self.tally.edges[int(np.searchsorted(below, self.genuine_pairs / 2))])

    def impostors_below(self, threshold: float) -> int:
        """Return the number of impostor pairs below a counted threshold."""
        return int(self._matches()[int(np.abs(self.tally.edges - threshold).argmin())])

    def curve(self) -> dict[str, list[float]]:
        """Return the detection error tradeoff, from three false matches to the threshold where all pairs match."""
        matches, misses = self._matches(), self._misses()
        last = int(np.searchsorted(matches, self.impostor_pairs))
        places = [int(place) for place in np.flatnonzero(matches >= RULE_OF_THREE) if place <= last]
        return {
            "threshold": [round_rate(self.tally.edges[place]) for place in places],
            "fmr": [round_rate(matches[place] / self.impostor_pairs) for place in places],
            "fnmr": [round_rate(misses[place] / self.genuine_pairs) for place in places],
        }

    def histograms(self) -> dict[str, Any]:
        """Return the number of comparisons in each bin of two distance steps, from 0 on."""
        edges = self.tally.edges[:: 2 * FINE]
        counts = {}
        for kind, every in (("genuine", self.tally.genuine), ("impostor", self.tally.impostor)):
            below = np.append(self.tally.below(every.sum(axis=0))[:: 2 * FINE], every.sum())
            counts[kind] = np.diff(below)
        last = int(np.flatnonzero(counts["genuine"] + counts["impostor"]).max(initial=0)) + 1
        width = round_rate(edges[1] - edges[0])
        return {"bin": width, **{kind: [int(one) for one in found[:last]] for kind, found in counts.items()}}

    def _matches(self) -> Ints:
        return self.tally.below(self.tally.impostor.sum(axis=0))

    def _misses(self) -> Ints:
        genuine: Ints = self.genuine_pairs - self.tally.below(self.tally.genuine.sum(axis=0))
        return genuine

    @cached_property
    def _pairs(self) -> _BothErrors:
        return self._errors(self.tally.impostor, self.tally.genuine)

    @cached_property
    def _people(self) -> _BothErrors | None:
        impostor, genuine = self.tally.impostor_people, self.tally.genuine_people
        return None if impostor is None or genuine is None else self._errors(impostor, genuine)

    def _errors(self, impostor: npt.NDArray[Any], genuine: npt.NDArray[Any]) -> _BothErrors:
        keys = tuple(self.groups.key(pair) for pair in self.groups.pairs())
        return (
            _Errors(keys, self.tally.below(impostor), impostor.sum(axis=1)),
            _Errors(self.groups.labels, self.tally.not_below(genuine), genuine.sum(axis=1)),
        )


def _rates(errors: _BothErrors, place: int) -> dict[str, Any]:
    impostor, genuine = errors
    return {
        "fmr": impostor.rate(place),
        "fnmr": genuine.rate(place),
        "fmr_by_group": impostor.by_name(place),
        "fnmr_by_group": genuine.by_name(place),
    }


@dataclass(frozen=True, slots=True)
class Point:
    """A reported threshold."""

    target: float | None
    """The target false match rate; None for the threshold in force if it is near no target."""
    threshold: float
    in_force: bool = False
    """Whether the service decides at this threshold."""


def points(table: list[dict[str, Any]], floor: float) -> list[Point]:
    """Return, for each target that the trial reaches, the threshold whose false match rate is nearest to it.

    If no target is reached, return the threshold of the lowest known rate.
    """
    found: dict[float, Point] = {}
    for target in TARGETS:
        near = min(table, key=lambda row: abs(_apart(row["fmr"], target)))
        if target >= floor and abs(_apart(near["fmr"], target)) <= _NEAR:
            found.setdefault(near["threshold"], Point(target, near["threshold"]))
    if not found:
        found[0] = Point(table[0]["fmr"], table[0]["threshold"])
    return sorted(found.values(), key=lambda point: -point.threshold)


def mark_in_force(chosen: list[Point], threshold: float) -> list[Point]:
    """Return *chosen* with the threshold in force marked, or added if it is not among them."""
    marked = [replace(point, in_force=point.threshold == threshold) for point in chosen]
    if not any(point.in_force for point in marked):
        marked.append(Point(None, threshold, in_force=True))
    return sorted(marked, key=lambda point: -point.threshold)


def _apart(rate: float, target: float) -> float:
    return float(np.log10(rate / target))
