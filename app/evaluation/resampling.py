"""Intervals by resampling people, not pairs: pairs share people, so a million pairs are not a million observations.

People are drawn with replacement, as many as the trial has. A person drawn twice counts twice. Person i
has the weight w_i. The false match rate is the sum of w_i w_j [d < t], divided by the sum of w_i w_j, over pairs of
*different* people. The false non-match rate is the sum of w_i times the misses, divided by the sum of w_i times the
pairs, over people. For the rates over people, the comparisons of two people (or of one) make 1 together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.evaluation.groups import Groups, Ints
from app.evaluation.rates import round_rate
from app.evaluation.scores import Batch, ComparisonSource, Floats
from app.kit.progress import Progress

_LOW, _HIGH = 2.5, 97.5
_REPORT_EVERY = 20
_AT_ONCE = 64
"""Draws of people to multiply with a table of rates at once."""

Bounds = tuple[float, float] | None
"""A 95 % interval, or None if the draws have nothing to count."""


class Draws(NamedTuple):
    """Number of times that people are drawn again, and the random seed."""

    resamples: int
    seed: int


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
    over_people: "Intervals | None" = None
    """Intervals of the rates over people; None if there are no such rates."""


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
    sample = _Sample(source, groups, thresholds)
    drawn = []
    for number, weight in enumerate(weights(len(present), resamples=resamples, seed=seed), start=1):
        of_person = np.zeros(len(groups.of_person))
        of_person[present] = weight
        drawn.append(sample.rates(of_person))
        if number % _REPORT_EVERY == 0:
            progress(f"people resampled {number} of {resamples} times")
    series = [tuple(np.array(rates) for rates in zip(*found, strict=True)) for found in zip(*drawn, strict=True)]
    found: Sequence[Intervals | None] = [None] * len(thresholds)
    for fmr, fnmr in reversed(series):  # those over people first, to be a part of those over pairs
        found = [_intervals(groups, at, fmr[:, n], fnmr[:, n], found[n]) for n, at in enumerate(thresholds)]
    return [one for one in found if one is not None]


def mean_bounds(rates: Floats, draws: Draws) -> list[Bounds]:
    """Return the 95 % interval of the mean over people of each column.

    Args:
        rates: a row for each person; NaN where the person has none.
        draws: of the people.
    """
    known = ~np.isnan(rates)
    filled, counted = np.where(known, rates, 0), known.astype(np.float64)
    drawn, means = weights(len(rates), resamples=draws.resamples, seed=draws.seed), []
    while some := list(islice(drawn, _AT_ONCE)):
        weight = np.array(some, dtype=np.float64)
        means.append(_divide(weight @ filled, weight @ counted))
    return [_bounds(column) for column in np.concatenate(means).T]


def round_bounds(bounds: Bounds) -> list[float] | None:
    """Return an interval with four significant digits."""
    return None if bounds is None else [round_rate(bound) for bound in bounds]


def _intervals(groups: Groups, threshold: float, fmr: Floats, fnmr: Floats, people: Intervals | None) -> Intervals:
    """Return the intervals at one threshold from the rates of each draw: by kind, and last of all."""
    keys = [groups.key(pair) for pair in groups.pairs()]
    return Intervals(
        threshold,
        _bounds(fmr[:, -1]),
        _bounds(fnmr[:, -1]),
        {key: _bounds(fmr[:, kind]) for kind, key in enumerate(keys)},
        {label: _bounds(fnmr[:, kind]) for kind, label in enumerate(groups.labels)},
        people,
    )


class _Sample:
    """The comparisons of a trial, to be weighted by its people."""

    def __init__(self, source: ComparisonSource, groups: Groups, thresholds: Sequence[float]) -> None:
        genuine, impostor = cells(source, thresholds)
        of_person, labels = groups.of_person, len(groups.labels)
        pair = groups.lookup()[of_person[impostor.one], of_person[impostor.other]]
        own = np.where(of_person[genuine.one] == of_person[genuine.other], of_person[genuine.one], -1) % (labels + 1)
        kinds, levels = len(groups.pairs()) + 1, len(thresholds) + 1
        share = source.shares() if source.of_people else None
        self._impostor = _WeightedCounts(impostor, pair, kinds, levels, share)
        self._genuine = _WeightedCounts(genuine, own, labels + 1, levels, share)
        self._all_pairs: list[Callable[[Floats], Floats]] | None = None
        if source.listed is None:
            images = np.bincount(source.person, minlength=len(of_person))
            self._all_pairs = [_all_pairs(one, groups) for one in (images, (images > 0).astype(np.int64))]

    def rates(self, weight: Floats) -> list[tuple[Floats, Floats]]:
        """Return FMR and FNMR by threshold and kind: over pairs, and over people if there are such rates."""
        found = []
        both = zip(self._impostor.count(weight), self._genuine.count(weight), strict=True)
        for place, (impostor, genuine) in enumerate(both):
            every = impostor.sum(axis=0) if self._all_pairs is None else self._all_pairs[place](weight)
            matched, missed = impostor.cumsum(axis=0)[:-1], genuine[::-1].cumsum(axis=0)[-2::-1]
            found.append((_rates(matched, every), _rates(missed, genuine.sum(axis=0))))
        return found


class _WeightedCounts:
    """Cells to count by kind of group, with a weight for each person; sorted, so that a sum is one pass.

    Args:
        cells: of comparisons of two people each, or of one person each.
        kind: the kind of each cell, below *kinds*.
        share: the share that one comparison is of all those of two people; None if there are no rates over people.
    """

    def __init__(
        self, cells: Cells, kind: Ints, kinds: int, levels: int, share: Callable[[Ints, Ints], Floats] | None
    ) -> None:
        place = cells.level * kinds + kind
        order = np.argsort(place, kind="stable")
        self._one, self._other = cells.one[order], cells.other[order]
        self._of_one_person = np.array_equal(self._one, self._other)
        self._values = [cells.count[order].astype(np.float64)]
        if share is not None:
            self._values.append(self._values[0] * share(self._one, self._other))
        self._places, self._starts = np.unique(place[order], return_index=True)
        self._shape = (levels, kinds)

    def count(self, weight: Floats) -> Iterator[Floats]:
        """Yield the weight of the comparisons by level and kind: of pairs, and then over people."""
        both = weight[self._one] if self._of_one_person else weight[self._one] * weight[self._other]
        for values in self._values:
            sums = np.zeros(self._shape)
            if len(self._starts):
                sums.flat[self._places] = np.add.reduceat(both * values, self._starts)
            yield sums


def _all_pairs(images: Ints, groups: Groups) -> Callable[[Floats], Floats]:
    """Return a function that sums the weights of all pairs of different people by kind, without listing the pairs."""
    labels = len(groups.labels)
    # Index -1 (no group) becomes the last row.
    row = groups.of_person % (labels + 1)

    def weighed(weight: Floats) -> Floats:
        of_person = weight * images
        total, squares = (np.bincount(row, values, labels + 1) for values in (of_person, of_person**2))
        pairs = [
            (total[one] ** 2 - squares[one]) / 2 if one == other else total[one] * total[other]
            for one, other in groups.pairs()
        ]
        return np.array([*pairs, (total.sum() ** 2 - squares.sum()) / 2 - sum(pairs)])

    return weighed


def _rates(part: Floats, whole: Floats) -> Floats:
    """Return the rates by kind, and last the rate of all; NaN where the denominator is 0."""
    return _divide(np.column_stack((part, part.sum(axis=1))), np.append(whole, whole.sum()))


def _divide(parts: Floats, wholes: Floats) -> Floats:
    rates: Floats = np.divide(parts, wholes, out=np.full(parts.shape, np.nan), where=wholes > 0)
    return rates


def _bounds(rates: Floats) -> Bounds:
    known = rates[~np.isnan(rates)]
    if not len(known):
        return None
    low, high = np.percentile(known, (_LOW, _HIGH))
    return float(low), float(high)
