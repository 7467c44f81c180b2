"""What is done with vectors outside a worker: distance, mean, bytes. Plain floats, no image in sight."""

import math
import operator
import struct
from collections.abc import Sequence

from app.faces.engine import Metric, Vector


def distance(one: Vector, other: Vector, *, metric: Metric) -> float:
    """Return how far apart two faces are, in the metric that the card's thresholds are given in."""
    if metric == "l2":
        return math.dist(one, other)
    return 1 - _dot(one, other) / math.sqrt(_dot(one, one) * _dot(other, other))


def mean(vectors: Sequence[Vector], *, metric: Metric) -> Vector:
    """Return the mean of one person's vectors, the best single reference for them (`docs/faces.md`).

    By the cosine only the direction of a vector counts: each is given length 1 before, and so is their mean.
    """
    if metric == "l2":
        return _mean(vectors)
    return _unit(_mean([_unit(one) for one in vectors]))


def packed(vector: Vector) -> bytes:
    """Write a vector as little-endian doubles, eight bytes a dimension."""
    return struct.pack(f"<{len(vector)}d", *vector)


def unpacked(blob: bytes) -> Vector:
    """Read what `packed` wrote."""
    return struct.unpack(f"<{len(blob) // 8}d", blob)


def _mean(vectors: Sequence[Vector]) -> Vector:
    return tuple(math.fsum(column) / len(vectors) for column in zip(*vectors, strict=True))


def _dot(one: Vector, other: Vector) -> float:
    return math.fsum(map(operator.mul, one, other))


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(_dot(vector, vector))
    return tuple(value / length for value in vector)
