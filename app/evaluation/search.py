"""Every image of a trial, searched in galleries made of its people.

No gallery is drawn at random: each rate is the exact mean over *all* galleries of a size. For one probe, let f of M
other people's references be below the threshold. Then C(M - f, N) of the C(M, N) galleries contain none of the f. A
person's reference is the mean of their first images by name: as many as asked for, or all that they have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.evaluation.groups import Ints
from app.evaluation.rates import RULE_OF_THREE, round_rate
from app.evaluation.resampling import Draws, mean_bounds, round_bounds
from app.evaluation.scores import BLOCK, Floats, Metric, distances, mean

_FEWEST_ROWS: Final = 128
"""Probes compared at once, however many people there are: with fewer, preparing the references would cost most."""


@dataclass(frozen=True, slots=True)
class Searches:
    """The references near each probe. Every image is a probe."""

    levels: Floats
    """Thresholds, in rising order."""
    owner: Ints
    """The person of each probe, an index below `people`."""
    people: int
    own: Floats
    """Distance of the person's own reference."""
    nearer: Ints
    """Number of other people's references that are no farther than the person's own."""
    mated: npt.NDArray[np.bool_]
    """True if the person's reference has the full number of images, and the probe is another one."""
    below: npt.NDArray[np.int32]
    """For each probe and level, the number of other people's references below it."""

    def identified(self, size: int, threshold: float) -> Floats:
        """Return, by probe, the chance that their person is found first in a gallery; NaN if not mated."""
        chance = _none_of(self.nearer, self.people - 1, size - 1) * (self.own < threshold)
        return np.where(self.mated, chance, np.nan)

    def matched(self, size: int, threshold: float) -> Floats:
        """Return, by probe, the chance that a gallery without their person has a match."""
        return 1 - _none_of(self.below[:, int(np.searchsorted(self.levels, threshold))], self.people - 1, size)

    def fpir(self, size: int) -> Floats:
        """Return the rate of matches in a gallery without the person, over people, at each level.

        NaN where fewer than three probes have a match in any gallery: the rate of so few is not stated.
        """
        chance = 1 - _none_of(self.below, self.people - 1, size)
        each = 1 / (np.bincount(self.owner, minlength=self.people)[self.owner] * self.people)
        rates: Floats = each @ chance
        return np.where((self.below > 0).sum(axis=0) >= RULE_OF_THREE, rates, np.nan)

    def of_people(self, chances: Floats) -> Floats:
        """Return the mean over each person's probes; NaN for a person without one."""
        known = ~np.isnan(chances)
        sums = np.bincount(self.owner[known], chances[known], self.people)
        counts = np.bincount(self.owner[known], minlength=self.people)
        rates: Floats = np.divide(sums, counts, out=np.full(self.people, np.nan), where=counts > 0)
        return rates


def search(
    vectors: Floats, people: Sequence[Ints], metric: Metric, levels: Sequence[float], *, references: int = 1
) -> Searches:
    """Search every image of *people*, the rows of each of them, among the references of all."""
    gallery = np.array([mean(vectors[rows[:references]], metric) for rows in people])
    rows, place = np.concatenate(people), np.concatenate([np.arange(len(one)) for one in people])
    owner = np.repeat(np.arange(len(people)), [len(one) for one in people])
    thresholds, size = np.array(levels), len(levels)
    own, nearer = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    below = np.zeros((len(rows), size), dtype=np.int32)
    height = max(_FEWEST_ROWS, BLOCK * BLOCK // len(people))
    for begin in range(0, len(rows), height):
        part = slice(begin, begin + height)
        matrix = distances(vectors[rows[part]], gallery, metric)
        mine = (np.arange(len(matrix)), owner[part])
        own[part] = matrix[mine]
        matrix[mine] = np.inf
        nearer[part] = (matrix <= own[part, None]).sum(axis=1)
        probe, other = np.nonzero(matrix < thresholds[-1])
        level = np.searchsorted(thresholds, matrix[probe, other], side="right")
        counts = np.bincount(probe * size + level, minlength=len(matrix) * size)
        below[part] = counts.reshape(-1, size).cumsum(axis=1)
    return Searches(thresholds, owner, len(people), own, nearer, place >= references, below)


def sizes(people: int) -> list[int]:
    """Return the gallery sizes: 10, 30, 100 … and all people but one, who is the stranger."""
    largest = people - 1
    steps = (10 ** (1 + n // 2) * (3 if n % 2 else 1) for n in count())
    found = []
    for size in steps:
        if size >= largest:
            break
        found.append(size)
    return [*found, largest]


def over_people(searches: Searches, points: Sequence[tuple[int, float]], draws: Draws) -> list[dict[str, Any]]:
    """Return DIR and FPIR, in which each person counts once, at each gallery size and threshold of *points*.

    The intervals resample the people of the probes; the galleries stay.
    """
    if not points:
        return []
    columns = [
        searches.of_people(chances)
        for size, threshold in points
        for chances in (searches.identified(size, threshold), searches.matched(size, threshold))
    ]
    bounds = [round_bounds(one) for one in mean_bounds(np.array(columns).T, draws)]
    means = [round_rate(float(np.nanmean(column))) if not np.isnan(column).all() else None for column in columns]
    return [
        {
            "dir_rank_1": means[2 * place],
            "fpir": means[2 * place + 1],
            "ci95_by_person": {"dir_rank_1": bounds[2 * place], "fpir": bounds[2 * place + 1]},
        }
        for place in range(len(points))
    ]


def _none_of(marked: npt.NDArray[Any], others: int, drawn: int) -> Floats:
    """Return the probability that none of *marked* is among *drawn* of *others*, drawn without replacement."""
    before = np.arange(int(marked.max(initial=0)))
    # C(M-f-1, N) / C(M-f, N) = (M-f-N) / (M-f)
    steps = np.maximum(others - before - drawn, 0) / (others - before)
    clear: Floats = np.concatenate(([1.0], steps.cumprod()))[marked]
    return clear
