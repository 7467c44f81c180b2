"""Distances of very many pairs, a block at a time, and their counts in fine bins: memory does not grow with the pairs.

Distances are taken with matrix products in double precision; a pair closer than about 1e-8 may come out as 0.
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
"""Images to a side: a block is a million pairs, some 50 MB with all that is computed on it."""
STEP: Final = 0.005
"""Between two thresholds of a calibration table."""
FINE: Final = 10
"""Bins to a step, for the curve."""
_COARSEST: Final = 2.0
"""A distance beyond which steps are made wider: the engines that ship with Mien stay below it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some comparisons."""

    one: Ints
    """The row of each first image."""
    other: Ints
    same: npt.NDArray[np.bool_]
    """Whether they are one person: genuine."""
    distance: Floats


@dataclass(frozen=True, slots=True)
class Source:
    """All comparisons of a trial, as often as they are asked for."""

    vectors: Floats
    person: Ints
    metric: Metric
    listed: tuple[Ints, Ints, npt.NDArray[np.bool_]] | None = None
    """Only these, instead of every pair: rows, rows, same."""

    def batches(self) -> Iterator[Batch]:
        """Give every comparison once, in the same order each time."""
        if self.listed is not None:
            yield from self._listed(*self.listed)
            return
        for top in range(0, len(self.vectors), BLOCK):
            for left in range(top, len(self.vectors), BLOCK):
                yield self._block(top, left)

    def _block(self, top: int, left: int) -> Batch:
        rows, columns = self.vectors[top : top + BLOCK], self.vectors[left : left + BLOCK]
        matrix = distances(rows, columns, self.metric)
        if top == left:
            one, other = np.triu_indices(len(rows), k=1)
        else:
            one, other = (part.ravel() for part in np.indices(matrix.shape))
        return self._batch(one + top, other + left, matrix[one, other])

    def _batch(self, one: Ints, other: Ints, distance: Floats) -> Batch:
        return Batch(one, other, self.person[one] == self.person[other], distance)

    def _listed(self, one: Ints, other: Ints, same: npt.NDArray[np.bool_]) -> Iterator[Batch]:
        size = BLOCK * 16
        for begin in range(0, len(one), size):
            part = slice(begin, begin + size)
            pair = paired(self.vectors[one[part]], self.vectors[other[part]], self.metric)
            yield Batch(one[part], other[part], same[part], pair)


def distances(rows: Floats, columns: Floats, metric: Metric) -> Floats:
    """Return the distance of each of *rows* from each of *columns*, a matrix.

    ``l2`` is the length of the difference, ``cosine`` one less the cosine of the angle: 0 to 2.
    """
    if metric == "cosine":
        turned: Floats = 1 - _unit(rows) @ _unit(columns).T
        return turned.clip(0, 2)
    squares = (rows**2).sum(axis=1)[:, None] + (columns**2).sum(axis=1)[None, :] - 2 * rows @ columns.T
    lengths: Floats = np.sqrt(squares.clip(0))
    return lengths


def paired(ones: Floats, others: Floats, metric: Metric) -> Floats:
    """Return the distance of each of *ones* from the one of *others* in the same place."""
    if metric == "cosine":
        turned: Floats = 1 - (_unit(ones) * _unit(others)).sum(axis=1)
        return turned.clip(0, 2)
    lengths: Floats = np.sqrt(((ones - others) ** 2).sum(axis=1))
    return lengths


def mean(vectors: Floats, metric: Metric) -> Floats:
    """Return the mean of one person's vectors; with ``cosine`` of their directions."""
    middle: Floats = (_unit(vectors) if metric == "cosine" else vectors).mean(axis=0)
    return middle


def step_for(vectors: Floats, metric: Metric) -> float:
    """Return the step between thresholds: ``STEP``, or ten, a hundred … times as much for vectors that are longer."""
    furthest = _COARSEST if metric == "cosine" else 2 * float(np.sqrt((vectors**2).sum(axis=1)).max(initial=0.0))
    wider = max(0, round(math.log10(max(furthest, _COARSEST) / (2 * _COARSEST))))
    return float(STEP * 10**wider)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many comparisons there are at each distance."""

    edges: Floats
    """Rising; the first is 0. A row of counts has one place before the first edge, and one after each."""
    genuine: npt.NDArray[np.int64]
    """A row for each group, the last for those without one."""
    impostor: npt.NDArray[np.int64]
    """A row for each pair of groups, the last for pairs with somebody without one."""

    def below(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how many of *counts* are below each edge."""
        under: npt.NDArray[np.int64] = counts.cumsum(axis=-1)[..., :-1]
        return under


def tally(source: Source, groups: Groups, step: float) -> Tally:
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
        # Whoever has no group has the index -1, which is the last row.
        kind = lookup[ones, others] * size + place
        impostor += np.bincount(kind[~batch.same], minlength=impostor.size)
        own = (np.where(ones == others, ones, -1) % (len(groups.labels) + 1)) * size + place
        genuine += np.bincount(own[batch.same], minlength=genuine.size)
    return Tally(edges, genuine.reshape(-1, size), impostor.reshape(-1, size))


def _unit(vectors: Floats) -> Floats:
    lengths = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    directions: Floats = vectors / np.where(lengths == 0, 1, lengths)
    return directions
