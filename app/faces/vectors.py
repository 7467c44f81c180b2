"""What is done with vectors outside a worker: distance, mean, bytes. Plain floats, no image in sight."""

import math
import operator
import struct
from collections.abc import Sequence
from typing import NamedTuple

from app.faces.engine import Metric, Vector

LABEL_BYTES = 32
"""A SHA-256, before the numbers."""
UNLABELLED_BYTES = 128 * 8
"""How long a vector is that has no label: 128 doubles, and nothing before them. No labelled one has this length."""
UNLABELLED_ENGINE = "face_recognition"
"""While there was one engine (up to version 0.1.0) there was no label: what has none is of this one."""
UNLABELLED_WEIGHTS = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
"""The SHA-256 of its weights, then and on its card now: a test compares."""


class LabelledVector(NamedTuple):
    """A vector, and the weights that it means something to."""

    weights_sha256: str
    vector: Vector


def distance(one: Vector, other: Vector, *, metric: Metric) -> float:
    """Return how far apart two faces are, in the metric that the card's thresholds are given in."""
    if metric == "l2":
        return math.dist(one, other)
    return 1 - _dot(one, other) / math.sqrt(_dot(one, one) * _dot(other, other))


def mean(vectors: Sequence[Vector], *, metric: Metric) -> Vector:
    """Return the mean of one person's vectors, the best single reference for them (`docs/explanation/faces.md`).

    By the cosine only the direction of a vector counts: each is given length 1 before, and so is their mean.
    """
    if metric == "l2":
        return _mean(vectors)
    return _unit(_mean([_unit(one) for one in vectors]))


def pack(vector: Vector, *, weights_sha256: str) -> bytes:
    """Write a vector after the label that says which weights gave it its meaning.

    32 bytes of SHA-256, then little-endian doubles, eight bytes a dimension. Sealed together, neither changes alone.

    Raises:
        ValueError: what would be written is as long as a vector without a label.
    """
    blob = bytes.fromhex(weights_sha256) + struct.pack(f"<{len(vector)}d", *vector)
    if len(blob) == UNLABELLED_BYTES:
        raise ValueError(len(vector))
    return blob


def unpack(blob: bytes) -> LabelledVector:
    """Read what `packed` wrote, or a version that wrote no label."""
    if len(blob) == UNLABELLED_BYTES:
        return LabelledVector(UNLABELLED_WEIGHTS, _vector(blob))
    return LabelledVector(blob[:LABEL_BYTES].hex(), _vector(blob[LABEL_BYTES:]))


def _vector(doubles: bytes) -> Vector:
    return struct.unpack(f"<{len(doubles) // 8}d", doubles)


def _mean(vectors: Sequence[Vector]) -> Vector:
    return tuple(math.fsum(column) / len(vectors) for column in zip(*vectors, strict=True))


def _dot(one: Vector, other: Vector) -> float:
    return math.fsum(map(operator.mul, one, other))


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(_dot(vector, vector))
    return tuple(value / length for value in vector)
