"""What an engine is: the one interface between Mien and a face recognition model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""RGB, shape ``(height, width, 3)``."""
Point: TypeAlias = tuple[float, float]
"""``(x, y)`` in pixels, from the top left corner."""
Vector: TypeAlias = tuple[float, ...]
"""One face's features; two are compared with the metric on the engine's card."""
Metric: TypeAlias = Literal["l2", "cosine"]
"""``l2`` is the Euclidean distance; ``cosine`` is 1 less the cosine of the angle, between vectors of length 1."""
METRICS: Final = get_args(Metric)
PHOTO_SIDE: Final = 1280
"""Longer side of a kept photo, in pixels. Larger photos are reduced to it; smaller ones are not enlarged."""


@dataclass(frozen=True, slots=True)
class Face:
    """Where one face is, in pixels of the picture it was found in."""

    box: tuple[int, int, int, int]
    """``(top, right, bottom, left)``."""
    points: tuple[Point, Point, Point, Point, Point]
    """Five landmarks, in the engine's own order and meaning."""
    eyes: tuple[Point, Point]
    """The middle of each eye, the one further left in the picture first."""
    nose: Point


class Engine(Protocol):
    """A model that finds and describes faces. It lives in a worker only: one to a process, one job at a time.

    It is given the SHA-256 of each of its files, by name, which were checked before it is made (law 12), and the
    settings on its card, which say how it is run.
    """

    id: str
    """Permanent: stored with every template."""
    dimensions: int
    weights_sha256: str
    """Of the file that gives the vectors their meaning; templates of another hash are not comparable."""
    side: int
    """The longer side, in pixels, that a picture is brought to (never enlarged) before it is shown to the engine."""

    def __init__(self, digests: Mapping[str, str], settings: Mapping[str, Any]) -> None: ...

    @staticmethod
    def weights_files(settings: Mapping[str, Any]) -> Mapping[str, Path]:
        """Return every file that the engine will load, by name, without loading any."""
        ...

    def detect(self, pixels: Pixels) -> list[Face]:
        """Return all faces, in any order."""
        ...

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return the vector of exactly one face: ``dimensions`` finite numbers, of length 1 if the metric is cosine."""
        ...
