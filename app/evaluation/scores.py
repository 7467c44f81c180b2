"""Distances of many pairs, computed in blocks and counted in fine bins, so that memory does not grow with the pairs.

Distances are matrix products in double precision; a distance below about 1e-8 may become 0.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from app.evaluation.groups import Groups, Ints

Metric: TypeAlias = Literal["l2", "cosine"]
Floats: TypeAlias = npt.NDArray[np.float64]
Number = TypeVar("Number", np.int64, np.float64)

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
    of_people: bool = True
    """False if each image stands for its own person, so that there is no rate over people."""

    def genuine_of_person(self) -> Ints:
        """Return the number of genuine comparisons of each person."""
        if self.listed is None:
            images = np.bincount(self.person)
            return images * (images - 1) // 2
        one, _, same = self.listed
        return np.bincount(self.person[one[same]])

    def shares(self) -> Callable[[Ints, Ints], Floats]:
        """Return a function of two people: the share that one of their comparisons is of all theirs.

        For one person twice, these are the comparisons of that person's own images.
        """
        if self.listed is None:
            images = np.bincount(self.person)
            inverse = 1 / np.maximum(images, 1)
            own = 1 / np.maximum(self.genuine_of_person(), 1)
            return lambda one, other: np.where(one == other, own[one], inverse[one] * inverse[other])
        people = int(self.person.max(initial=0)) + 1
        pairs = _pair_keys(self.person[self.listed[0]], self.person[self.listed[1]], people)
        keys, counts = np.unique(pairs, return_counts=True)
        return lambda one, other: 1 / counts[np.searchsorted(keys, _pair_keys(one, other, people))]

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
            distance = matrix[one, other]
        else:
            one, other = (part.ravel() for part in np.indices(matrix.shape))
            distance = matrix.ravel()
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


def _pair_keys(one: Ints, other: Ints, people: int) -> Ints:
    """Return a number for each pair of people, the same in either order."""
    keys: Ints = np.minimum(one, other) * people + np.maximum(one, other)
    return keys


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
    genuine_people: Floats | None
    """As `genuine`, but the comparisons of one person make 1 together. None if there is no rate over people."""
    impostor_people: Floats | None
    """As `impostor`, but the comparisons of two people make 1 together."""

    @staticmethod
    def below(counts: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return the sum of *counts* below each edge."""
        under: npt.NDArray[Number] = counts.cumsum(axis=-1)[..., :-1]
        return under

    @staticmethod
    def not_below(counts: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return the sum of *counts* at each edge and above; exactly 0 where there are none."""
        over: npt.NDArray[Number] = counts[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]
        return over


def tally(
    source: ComparisonSource, groups: Groups, step: float, watch: Callable[[Batch], None] = lambda _batch: None
) -> Tally:
    """Count every comparison by its distance and its groups, and show each batch to *watch*."""
    edges = _edges(source, step)
    size = len(edges) + 1
    group, lookup = groups.of_person[source.person], groups.lookup()
    shapes = (len(groups.labels) + 1) * size, (len(groups.pairs()) + 1) * size
    genuine, impostor = (np.zeros(shape, dtype=np.int64) for shape in shapes)
    genuine_people, impostor_people = (np.zeros(shape) for shape in shapes)
    share = source.shares()
    for batch in source.batches():
        place = _place(edges, batch.distance)
        ones, others = group[batch.one], group[batch.other]
        shares = share(source.person[batch.one], source.person[batch.other])
        different = ~batch.same
        # A person without a group has the index -1: the last row.
        kind = (lookup[ones, others] * size + place)[different]
        impostor += np.bincount(kind, minlength=impostor.size)
        impostor_people += np.bincount(kind, shares[different], minlength=impostor.size)
        own = ((np.where(ones == others, ones, -1) % (len(groups.labels) + 1)) * size + place)[batch.same]
        genuine += np.bincount(own, minlength=genuine.size)
        genuine_people += np.bincount(own, shares[batch.same], minlength=genuine.size)
        watch(batch)
    tables = (
        [counts.reshape(-1, size) for counts in (genuine_people, impostor_people)] if source.of_people else [None] * 2
    )
    return Tally(edges, genuine.reshape(-1, size), impostor.reshape(-1, size), *tables)


def _edges(source: ComparisonSource, step: float) -> Floats:
    furthest = 2.0 if source.metric == "cosine" else 2 * float(np.sqrt((source.vectors**2).sum(axis=1)).max())
    bins = int(np.ceil(furthest / step)) * FINE + FINE
    edges: Floats = np.round(np.arange(bins + 1) * (step / FINE), 9)
    return edges


def _place(edges: Floats, distance: Floats) -> Ints:
    """Return the number of *edges* up to each distance, as `searchsorted` on the right, but in constant time."""
    guess: Ints = (distance * (1 / edges[1])).astype(np.int64).clip(0, len(edges) - 1)
    guess -= distance < edges[guess]
    upper = np.append(edges[1:], np.inf)
    guess += distance >= upper[guess]
    return guess + 1


def _unit(vectors: Floats) -> Floats:
    lengths = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    directions: Floats = vectors / np.where(lengths == 0, 1, lengths)
    return directions
