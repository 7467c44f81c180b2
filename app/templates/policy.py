"""Rules of an enrolment, without I/O: how many photos, and that all show one person."""

from collections.abc import Sequence
from itertools import combinations

from app.faces.engine import Metric, Vector
from app.faces.vectors import distance

MAX_PHOTOS = 5
"""More photos add little: the mean of five halves the misses of the mean of two (`docs/explanation/faces.md`)."""


def find_odd_photos(vectors: Sequence[Vector], *, metric: Metric, threshold: float) -> list[int]:
    """Return the indexes of photos that do not match the others; empty if all match.

    Two photos match as a probe matches a reference: by the same threshold. The photos in the most pairs that do not
    match are returned; in a tie, all of them.
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
