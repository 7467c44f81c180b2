"""Interface between Mien and a face recognition model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, get_args

if TYPE_CHECKING:
    # Vectors and cards need no pixels, and most commands no NumPy, whose import takes long.
    import numpy as np
    import numpy.typing as npt

Pixels: TypeAlias = "npt.NDArray[np.uint8]"
"""RGB, shape ``(height, width, 3)``."""
Reduce: TypeAlias = Callable[[Pixels, tuple[int, int]], Pixels]
"""Takes a picture, and a smaller width and height."""
Point: TypeAlias = tuple[float, float]
"""``(x, y)`` in pixels, from the top left corner."""
Vector: TypeAlias = tuple[float, ...]
"""Features of one face. The metric on the engine's card compares two of them."""
Metric: TypeAlias = Literal["l2", "cosine"]
"""``l2`` is the Euclidean distance; ``cosine`` is 1 minus the cosine of the angle."""
METRICS: Final = get_args(Metric)
PHOTO_SIDE: Final = 1280
"""Longer side of a kept photo, in pixels. Larger photos are reduced, smaller ones are not enlarged."""


@dataclass(frozen=True, slots=True)
class Face:
    """Position of one face, in pixels of its picture."""

    box: tuple[int, int, int, int]
    """``(top, right, bottom, left)``."""
    points: tuple[Point, Point, Point, Point, Point]
    """Five landmarks, in the engine's own order and meaning."""
    eyes: tuple[Point, Point]
    """Middle of each eye; the one further left in the picture first."""
    nose: Point


class Engine(Protocol):
    """A model that finds and describes faces. Runs in a worker only: one per process, one job at a time.

    The worker passes the settings on the engine's card and the SHA-256 of each of its files, by name. It has checked
    the files before (law 12).
    """

    id: str
    """Permanent: stored with every template."""
    dimensions: int
    weights_sha256: str
    """Hash of the network that describes faces; templates of another hash are not comparable."""
    side: int
    """Longer side of the pictures for this engine, in pixels. Larger ones are reduced, smaller ones not enlarged."""

    def __init__(self, digests: Mapping[str, str], settings: Mapping[str, Any]) -> None: ...

    @property
    def reduce(self) -> Reduce:
        """Function that reduces a picture for the engine."""
        ...

    @staticmethod
    def weights_files(settings: Mapping[str, Any]) -> Mapping[str, Path]:
        """Return the path of each file that the engine loads, by name."""
        ...

    def detect(self, pixels: Pixels) -> list[Face]:
        """Return all faces, in any order."""
        ...

    def measure_appearance(self, pixels: Pixels, face: Face) -> Mapping[str, float]:
        """Return how far the face looks like those that the engine can describe, as `app/faces/appearance.py` does."""
        ...

    def search(self, pixels: Pixels) -> list[Face]:
        """Return all faces in a picture of up to some megapixels, searched at its own size only, in any order."""
        ...

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return the vector of one face: ``dimensions`` finite numbers, of length 1 if the metric is cosine."""
        ...
