"""Intervals by resampling people, not pairs: pairs share people, so a million pairs are not a million observations.

People are drawn with replacement, as many as the trial has. A person drawn twice counts twice. Person i
has the weight w_i. The false match rate is the sum of w_i w_j [d < t], divided by the sum of w_i w_j, over pairs of
*different* people. The false non-match rate is the sum of w_i times the misses, divided by the sum of w_i times the
pairs, over people.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.evaluation.groups import Groups, Ints
from app.evaluation.scores import Batch, ComparisonSource, Floats
from app.kit.progress import Progress

_LOW, _HIGH = 2.5, 97.5
_REPORT_EVERY = 20

Bounds = tuple[float, float] | None
"""A 95 % interval, or None if the draws have nothing to count."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts of comparisons with the same two people and the same threshold level."""

    one: Ints
    other: Ints
    """The same person for a genuine comparison of folders."""
    level: Ints
    """Index of the first threshold above the distance; the number of thresholds if there is none."""
    count: Ints


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals of every rate at one threshold."""

    threshold: float
    fmr: Bounds
    fnmr: Bounds
    fmr_by_group: dict[str, Bounds]
    fnmr_by_group: dict[str, Bounds]


def cells(source: ComparisonSource, thresholds: Sequence[float]) -> tuple[Cells, Cells]:
    """Count the genuine comparisons, and the impostor ones below the largest threshold, by people.

    If the comparisons are listed, all impostor ones are counted: no rule gives their number between two people.

    Args:
        thresholds: in rising order.
    """
    genuine, impostor = _Counter(source, len(thresholds)), _Counter(source, len(thresholds))
    for batch in source.batches():
        level = np.searchsorted(np.array(thresholds), batch.distance, side="right")
        genuine.add(batch, level, batch.same)
        kept = ~batch.same if source.listed is not None else ~batch.same & (level < len(thresholds))
        impostor.add(batch, level, kept)
    return genuine.cells(), impostor.cells()


class _Counter:
    """Collects cells from batches."""

    def __init__(self, source: ComparisonSource, thresholds: int) -> None:
        self._person, self._levels = source.person, thresholds + 1
        self._people = int(source.person.max(initial=0)) + 1
        self._keys: list[Ints] = []
        self._counts: list[Ints] = []

    def add(self, batch: Batch, level: npt.NDArray[np.intp], kept: npt.NDArray[np.bool_]) -> None:
        one, other = self._person[batch.one[kept]], self._person[batch.other[kept]]
        low, high = np.minimum(one, other), np.maximum(one, other)
        keys, counts = np.unique((low * self._people + high) * self._levels + level[kept], return_counts=True)
        self._keys.append(keys)
        self._counts.append(counts)

    def cells(self) -> Cells:
        keys, place = np.unique(np.concatenate(self._keys), return_inverse=True)
        count = np.bincount(place, np.concatenate(self._counts), len(keys)).astype(np.int64)
        pair, level = np.divmod(keys, self._levels)
        return Cells(*np.divmod(pair, self._people), level, count)


def weights(people: int, *, resamples: int, seed: int) -> Iterator[Ints]:
    """Yield, for each resample, the number of times each person was drawn."""
    chance = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(chance.integers(0, people, size=people), minlength=people)


def intervals(
    source: ComparisonSource,
    groups: Groups,
    thresholds: Sequence[float],
    *,
    resamples: int,
    seed: int,
    progress: Progress,
) -> list[Intervals]:
    """Return the 95 % percentile intervals of every rate at each of *thresholds*, in rising order."""
    present = np.unique(source.person)
    genuine, impostor = cells(source, thresholds)
    of_person, labels = groups.of_person, len(groups.labels)
    pair = groups.lookup()[of_person[impostor.one], of_person[impostor.other]]
    own = np.where(of_person[genuine.one] == of_person[genuine.other], of_person[genuine.one], -1)
    fmr = _WeightedCounts(impostor, pair, len(groups.pairs()) + 1, len(thresholds) + 1)
    fnmr = _WeightedCounts(genuine, own % (labels + 1), labels + 1, len(thresholds) + 1)
    all_pairs = _all_pairs(source, groups) if source.listed is None else None
    matched, missed = [], []
    for number, drawn in enumerate(weights(len(present), resamples=resamples, seed=seed), start=1):
        weight = np.zeros(len(of_person), dtype=np.int64)
        weight[present] = drawn
        below, impostors = fmr.count(weight)
        matched.append(_rates(below, impostors if all_pairs is None else all_pairs(weight, len(impostors))))
        below, genuines = fnmr.count(weight)
        missed.append(_rates(genuines - below, genuines))
        if number % _REPORT_EVERY == 0:
            progress(f"people resampled {number} of {resamples} times")
    found, lost = np.array(matched), np.array(missed)
    keys = [groups.key(pair) for pair in groups.pairs()]
    return [
        Intervals(
            threshold,
            _bounds(found[:, place, -1]),
            _bounds(lost[:, place, -1]),
            {key: _bounds(found[:, place, kind]) for kind, key in enumerate(keys)},
            {label: _bounds(lost[:, place, kind]) for kind, label in enumerate(groups.labels)},
        )
        for place, threshold in enumerate(thresholds)
    ]


@dataclass(frozen=True, slots=True)
class _WeightedCounts:
    """Cells to count by kind of group, with a weight for each person."""

    cells: Cells
    kind: Ints
    """The kind of each cell, below *kinds*."""
    kinds: int
    levels: int

    def count(self, weight: Ints) -> tuple[Floats, Floats]:
        """Return the weight of the comparisons below each threshold, by kind, and that of all comparisons."""
        one, other = self.cells.one, self.cells.other
        both = np.where(one == other, weight[one], weight[one] * weight[other]) * self.cells.count
        sums = np.bincount(self.cells.level * self.kinds + self.kind, both, self.levels * self.kinds)
        counts = sums.reshape(self.levels, self.kinds).cumsum(axis=0)
        return counts[:-1], counts[-1]


def _all_pairs(source: ComparisonSource, groups: Groups) -> Callable[[Ints, int], Floats]:
    """Return a function that sums the weights of all pairs of different people by kind, without listing the pairs."""
    images = np.bincount(source.person, minlength=len(groups.of_person))
    labels = len(groups.labels)

    def weighed(weight: Ints, kinds: int) -> Floats:
        of_person = (weight * images).astype(np.float64)
        total, squares = np.zeros(labels + 1), np.zeros(labels + 1)
        # Index -1 (no group) is the last row.
        np.add.at(total, groups.of_person, of_person)
        np.add.at(squares, groups.of_person, of_person**2)
        pairs = np.zeros(kinds)
        for place, (one, other) in enumerate(groups.pairs()):
            pairs[place] = (total[one] ** 2 - squares[one]) / 2 if one == other else total[one] * total[other]
        pairs[-1] = (total.sum() ** 2 - squares.sum()) / 2 - pairs[:-1].sum()
        return pairs

    return weighed


def _rates(part: Floats, whole: Floats) -> Floats:
    """Return the rates by kind, and last the rate of all; NaN where the denominator is 0."""
    parts = np.column_stack((part, part.sum(axis=1)))
    wholes = np.append(whole, whole.sum())
    rates: Floats = np.divide(parts, wholes, out=np.full(parts.shape, np.nan), where=wholes > 0)
    return rates


def _bounds(rates: Floats) -> Bounds:
    known = rates[~np.isnan(rates)]
    if not len(known):
        return None
    low, high = np.percentile(known, (_LOW, _HIGH))
    return float(low), float(high)
