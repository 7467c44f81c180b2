"""What is done with vectors outside a worker: distance, mean, bytes. Plain floats, no image in sight."""

import math
import struct
from collections.abc import Sequence

from app.faces.engine import Vector


def distance(one: Vector, other: Vector) -> float:
    """Return the Euclidean distance (L2), the metric that the card's thresholds are given in."""
    return math.dist(one, other)


def mean(vectors: Sequence[Vector]) -> Vector:
    """Return the mean of one person's vectors, the best single reference for them (`docs/faces.md`)."""
    return tuple(math.fsum(column) / len(vectors) for column in zip(*vectors, strict=True))


def packed(vector: Vector) -> bytes:
    """Write a vector as little-endian doubles, eight bytes a dimension."""
    return struct.pack(f"<{len(vector)}d", *vector)


def unpacked(blob: bytes) -> Vector:
    """Read what `packed` wrote."""
    return struct.unpack(f"<{len(blob) // 8}d", blob)
