"""Rates from counts: calibration table, reported thresholds, error curve, histograms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

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
        matches, misses = self._matches(), self._misses()
        by_pair, by_group = self._by_pair(), self._by_group()
        return [
            {
                "threshold": round_rate(self.tally.edges[place]),
                "fmr": round_rate(matches[place] / self.impostor_pairs),
                "false_matches": int(matches[place]),
                "fnmr": round_rate(misses[place] / self.genuine_pairs),
                "fmr_by_group": {key: round_rate(counts[place] / pairs) for key, (counts, pairs) in by_pair.items()},
                "fnmr_by_group": {key: round_rate(counts[place] / pairs) for key, (counts, pairs) in by_group.items()},
            }
            for place in places
        ]

    def pairs_by_group(self) -> dict[str, int]:
        """Return the number of impostor pairs between any two groups."""
        return {key: pairs for key, (_, pairs) in self._by_pair().items()}

    def genuine_by_group(self) -> dict[str, int]:
        """Return the number of genuine pairs in each group."""
        return {key: pairs for key, (_, pairs) in self._by_group().items()}

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

    def _by_pair(self) -> dict[str, tuple[Ints, int]]:
        """Return, by pair of groups, false matches at each edge and all pairs; without those that have no pair."""
        below, totals = self.tally.below(self.tally.impostor), self.tally.impostor.sum(axis=1)
        return {
            self.groups.key(pair): (below[place], int(totals[place]))
            for place, pair in enumerate(self.groups.pairs())
            if totals[place]
        }

    def _by_group(self) -> dict[str, tuple[Ints, int]]:
        below, totals = self.tally.below(self.tally.genuine), self.tally.genuine.sum(axis=1)
        return {
            label: (totals[place] - below[place], int(totals[place]))
            for place, label in enumerate(self.groups.labels)
            if totals[place]
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
