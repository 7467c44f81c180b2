"""Vectors outside a worker: distance, mean, and their bytes in a template."""

import math
import operator
import struct
from collections.abc import Sequence
from typing import NamedTuple

from app.faces.engine import Metric, Vector

LABEL_BYTES = 32
"""Length of the SHA-256 before the numbers."""
UNLABELLED_BYTES = 128 * 8
"""Length of a vector without a label: 128 doubles. No labelled vector has this length."""
UNLABELLED_ENGINE = "face_recognition"
"""Engine of vectors without a label. Version 0.1.0 had one engine and wrote no label."""
UNLABELLED_WEIGHTS = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
"""SHA-256 of that engine's weights. A test compares it with the card."""


class LabelledVector(NamedTuple):
    """A vector and the SHA-256 of the weights that made it."""

    weights_sha256: str
    vector: Vector


def distance(one: Vector, other: Vector, *, metric: Metric) -> float:
    """Return the distance of two faces in the metric of the engine's card."""
    if metric == "l2":
        return math.dist(one, other)
    return 1 - _dot(one, other) / math.sqrt(_dot(one, one) * _dot(other, other))


def mean(vectors: Sequence[Vector], *, metric: Metric) -> Vector:
    """Return the mean of one person's vectors, their best single reference (`docs/explanation/faces.md`).

    For the cosine only the direction counts, so the vectors and their mean are scaled to length 1.
    """
    if metric == "l2":
        return _mean(vectors)
    return _unit(_mean([_unit(one) for one in vectors]))


def pack(vector: Vector, *, weights_sha256: str) -> bytes:
    """Encode a vector with its label: 32 bytes of SHA-256, then little-endian doubles.

    Both are sealed together, so that neither changes alone.

    Raises:
        ValueError: the result is as long as a vector without a label.
    """
    blob = bytes.fromhex(weights_sha256) + struct.pack(f"<{len(vector)}d", *vector)
    if len(blob) == UNLABELLED_BYTES:
        raise ValueError(len(vector))
    return blob


def unpack(blob: bytes) -> LabelledVector:
    """Decode the bytes of `pack`, or of version 0.1.0, which wrote no label."""
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
