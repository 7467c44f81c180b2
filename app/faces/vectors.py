"""Vectors outside a worker: distance, mean, and their bytes in a template.

A template has the SHA-256 of the weights, and then its numbers as 8-bit integers with one scale. The rule is published
with test vectors (`docs/reference/test-vectors.md`). Templates of older versions have 64-bit numbers and stay valid.
"""

import math
import operator
import struct
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from app.faces.engine import Metric, Vector

LABEL_BYTES = 32
"""Length of the SHA-256 before the numbers."""
UNLABELLED_BYTES = 128 * 8
"""Length of a vector without a label: 128 doubles."""
UNLABELLED_ENGINE = "face_recognition"
"""Engine of vectors without a label. Version 0.1.0 had one engine and wrote no label."""
UNLABELLED_WEIGHTS = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
"""SHA-256 of that engine's weights. A test compares it with the card."""


INT8_VERSION: Final = 1
"""First byte after the label of a template with 8-bit numbers."""
INT8_MAX: Final = 127
_HEADER: Final = struct.Struct("<BHf")
"""Version, dimensions, scale. With the label it has 39 bytes, and the numbers fill a multiple of 8. So the length is no
multiple of 8, as those of both older forms are."""
_SMALLEST_SCALE: Final = 2.0**-126
_LARGEST_SCALE: Final = (2 - 2.0**-23) * 2.0**127
"""The smallest and the largest normal 32-bit number."""


class NumberForm(StrEnum):
    """Form of the numbers in a template."""

    INT8 = "int8"
    FLOAT64 = "float64"
    """Written by version 0.1.0 and 0.2.0."""


class LabelledVector(NamedTuple):
    """A vector, the SHA-256 of the weights that made it, and the form of its numbers."""

    weights_sha256: str
    vector: Vector
    form: NumberForm
    scale: float | None
    """With `INT8`: every number is this times an integer."""


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
    """Encode a vector with its label: 32 bytes of SHA-256, the version, the dimensions, the scale, 8-bit integers.

    The scale is a 127th of the largest absolute value, as a 32-bit number. Each number is divided by it, rounded (half
    to even) and limited to ±127. Label and numbers are sealed together, so that neither changes alone.
    """
    largest = max(map(abs, vector)) / INT8_MAX
    (scale,) = struct.unpack("<f", struct.pack("<f", min(max(largest, _SMALLEST_SCALE), _LARGEST_SCALE)))
    integers = [max(-INT8_MAX, min(INT8_MAX, round(number / scale))) for number in vector]
    numbers = struct.pack(f"{_padded(len(vector))}s", struct.pack(f"{len(integers)}b", *integers))
    return bytes.fromhex(weights_sha256) + _HEADER.pack(INT8_VERSION, len(vector), scale) + numbers


def unpack(blob: bytes) -> LabelledVector:
    """Decode the bytes of `pack`, or of an older version: doubles with a label, or without one (0.1.0).

    Raises:
        ValueError: a newer version made the template.
    """
    if len(blob) == UNLABELLED_BYTES:
        return LabelledVector(UNLABELLED_WEIGHTS, _doubles(blob), NumberForm.FLOAT64, None)
    label, content = blob[:LABEL_BYTES].hex(), blob[LABEL_BYTES:]
    if len(content) % 8 == 0:
        return LabelledVector(label, _doubles(content), NumberForm.FLOAT64, None)
    version, dimensions, scale = _HEADER.unpack_from(content)
    if version != INT8_VERSION or len(content) != _HEADER.size + _padded(dimensions):
        raise ValueError(version)
    integers = struct.unpack_from(f"{dimensions}b", content, _HEADER.size)
    return LabelledVector(label, tuple(scale * one for one in integers), NumberForm.INT8, scale)


def _padded(count: int) -> int:
    return -(-count // 8) * 8


def _doubles(content: bytes) -> Vector:
    return struct.unpack(f"<{len(content) // 8}d", content)


def _mean(vectors: Sequence[Vector]) -> Vector:
    return tuple(math.fsum(column) / len(vectors) for column in zip(*vectors, strict=True))


def _dot(one: Vector, other: Vector) -> float:
    return math.fsum(map(operator.mul, one, other))


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(_dot(vector, vector))
    return tuple(value / length for value in vector)
