"""Distances of many pairs, computed in blocks and counted in fine bins, so that memory does not grow with the pairs.

Distances are matrix products in double precision; a distance below about 1e-8 may become 0.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from app.evaluation.groups import Groups, Ints

Metric: TypeAlias = Literal["l2", "cosine"]
Floats: TypeAlias = npt.NDArray[np.float64]

BLOCK: Final = 1024
"""Images on each side of a block: a million pairs, about 50 MB with intermediate results."""
STEP: Final = 0.005
"""Between two thresholds of a calibration table."""
FINE: Final = 10
"""Bins to a step, for the curve."""
_COARSEST: Final = 2.0
"""Distances above this get wider steps. The shipped engines stay below it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of comparisons."""

    one: Ints
    """The row of each first image."""
    other: Ints
    same: npt.NDArray[np.bool_]
    """True for a genuine comparison (one person)."""
    distance: Floats


@dataclass(frozen=True, slots=True)
class ComparisonSource:
    """All comparisons of a trial; can be iterated many times."""

    vectors: Floats
    person: Ints
    metric: Metric
    listed: tuple[Ints, Ints, npt.NDArray[np.bool_]] | None = None
    """Listed comparisons that replace every pair: reference rows, probe rows, same person."""
    references: Floats | None = None
    """Vectors of the first images of the comparisons, by row, if they differ from `vectors`."""

    @property
    def _references(self) -> Floats:
        return self.vectors if self.references is None else self.references

    def batches(self) -> Iterator[Batch]:
        """Yield every comparison once, always in the same order."""
        if self.listed is not None:
            yield from self._listed(*self.listed)
            return
        for top in range(0, len(self.vectors), BLOCK):
            for left in range(top, len(self.vectors), BLOCK):
                yield self._block(top, left)

    def _block(self, top: int, left: int) -> Batch:
        rows, columns = self._references[top : top + BLOCK], self.vectors[left : left + BLOCK]
        matrix = distances(rows, columns, self.metric)
        if top == left:
            one, other = np.triu_indices(len(rows), k=1)
        else:
            one, other = (part.ravel() for part in np.indices(matrix.shape))
        distance = matrix[one, other]
        one, other = one + top, other + left
        return Batch(one, other, self.person[one] == self.person[other], distance)

    def _listed(self, one: Ints, other: Ints, same: npt.NDArray[np.bool_]) -> Iterator[Batch]:
        size = BLOCK * 16
        for begin in range(0, len(one), size):
            part = slice(begin, begin + size)
            pair = paired(self._references[one[part]], self.vectors[other[part]], self.metric)
            yield Batch(one[part], other[part], same[part], pair)


def distances(rows: Floats, columns: Floats, metric: Metric) -> Floats:
    """Return the distance of each of *rows* from each of *columns*, a matrix.

    ``l2`` is the length of the difference; ``cosine`` is 1 minus the cosine of the angle, from 0 to 2.
    """
    if metric == "cosine":
        turned: Floats = 1 - _unit(rows) @ _unit(columns).T
        return turned.clip(0, 2)
    squares = (rows**2).sum(axis=1)[:, None] + (columns**2).sum(axis=1)[None, :] - 2 * rows @ columns.T
    lengths: Floats = np.sqrt(squares.clip(0))
    return lengths


def paired(ones: Floats, others: Floats, metric: Metric) -> Floats:
    """Return the distance between each row of *ones* and the same row of *others*."""
    if metric == "cosine":
        turned: Floats = 1 - (_unit(ones) * _unit(others)).sum(axis=1)
        return turned.clip(0, 2)
    lengths: Floats = np.sqrt(((ones - others) ** 2).sum(axis=1))
    return lengths


def mean(vectors: Floats, metric: Metric) -> Floats:
    """Return the mean of one person's vectors; for ``cosine``, of their directions."""
    middle: Floats = (_unit(vectors) if metric == "cosine" else vectors).mean(axis=0)
    return middle


def step_for(vectors: Floats, metric: Metric) -> float:
    """Return the step between thresholds: ``STEP``, times a power of ten for longer vectors."""
    furthest = _COARSEST if metric == "cosine" else 2 * float(np.sqrt((vectors**2).sum(axis=1)).max(initial=0.0))
    wider = max(0, round(math.log10(max(furthest, _COARSEST) / (2 * _COARSEST))))
    return float(STEP * 10**wider)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of comparisons by distance."""

    edges: Floats
    """In rising order from 0. A row of counts has one bin before the first edge and one after each edge."""
    genuine: npt.NDArray[np.int64]
    """A row for each group, the last for people without a group."""
    impostor: npt.NDArray[np.int64]
    """A row for each pair of groups, the last for pairs with a person without a group."""

    def below(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number of *counts* below each edge."""
        under: npt.NDArray[np.int64] = counts.cumsum(axis=-1)[..., :-1]
        return under


def tally(source: ComparisonSource, groups: Groups, step: float) -> Tally:
    """Count every comparison by its distance and its groups."""
    furthest = 2.0 if source.metric == "cosine" else 2 * float(np.sqrt((source.vectors**2).sum(axis=1)).max())
    bins = int(np.ceil(furthest / step)) * FINE + FINE
    edges = np.round(np.arange(bins + 1) * (step / FINE), 9)
    size = len(edges) + 1
    group, lookup = groups.of_person[source.person], groups.lookup()
    genuine = np.zeros((len(groups.labels) + 1) * size, dtype=np.int64)
    impostor = np.zeros((len(groups.pairs()) + 1) * size, dtype=np.int64)
    for batch in source.batches():
        place = np.searchsorted(edges, batch.distance, side="right")
        ones, others = group[batch.one], group[batch.other]
        # A person without a group has the index -1: the last row.
        kind = lookup[ones, others] * size + place
        impostor += np.bincount(kind[~batch.same], minlength=impostor.size)
        own = (np.where(ones == others, ones, -1) % (len(groups.labels) + 1)) * size + place
        genuine += np.bincount(own[batch.same], minlength=genuine.size)
    return Tally(edges, genuine.reshape(-1, size), impostor.reshape(-1, size))


def _unit(vectors: Floats) -> Floats:
    lengths = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    directions: Floats = vectors / np.where(lengths == 0, 1, lengths)
    return directions
