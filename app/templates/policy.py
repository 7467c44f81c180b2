"""The rules of enrolling, pure: every photo good, all of one person."""

from collections.abc import Sequence
from itertools import combinations

from app.faces.engine import Metric, Vector
from app.faces.vectors import distance

MOST_PHOTOS = 5
"""More add little: the mean of five halves the misses of the mean of two (`docs/explanation/faces.md`)."""


def odd_ones(vectors: Sequence[Vector], *, metric: Metric, threshold: float) -> list[int]:
    """Return the indexes of photos that are not of the same person as another; empty when all agree.

    Two photos of one enrolment must match each other as a probe must match a reference: one threshold, one rule. Of a
    pair that does not, the photo in more such pairs is named first; in a tie both are.
    """
    apart = [
        pair
        for pair in combinations(range(len(vectors)), 2)
        if distance(vectors[pair[0]], vectors[pair[1]], metric=metric) >= threshold
    ]
    if not apart:
        return []
    counts = [sum(index in pair for pair in apart) for index in range(len(vectors))]
    return [index for index, count in enumerate(counts) if count == max(counts)]
