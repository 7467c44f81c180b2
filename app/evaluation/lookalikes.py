"""Comparisons of two people that look like one person, or like one photo: labels that the operator should check.

They name files in the operator's folder. So they are printed on the operator's terminal only; no report and no card
has them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from app.evaluation.image_folder import Sample
from app.evaluation.measure_images import MeasuredImages
from app.evaluation.scores import Batch

MOST_LISTED: Final = 20
"""Default of `--most-lookalikes`: as many as an operator looks at in a few minutes."""
SAME_PHOTO: Final = 0.2
"""Two files this near, as a share of the typical distance within one person, look like copies of one photo."""


class Lookalike(NamedTuple):
    """Two files in the folders of two people."""

    one: Path
    other: Path
    looks_like: str


class NearestStrangers:
    """Collects the nearest comparisons of two people."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows = np.empty((2, 0), dtype=np.int64)
        self._distance = np.empty(0)

    def add(self, batch: Batch) -> None:
        """Keep the comparisons of *batch* that are among the nearest."""
        furthest = self._distance[-1] if len(self._distance) == self._most else np.inf
        near = np.flatnonzero((batch.distance < furthest) & ~batch.same)
        if not len(near):
            return
        distance = np.concatenate((self._distance, batch.distance[near]))
        rows = np.hstack((self._rows, np.stack((batch.one[near], batch.other[near]))))
        nearest = np.argsort(distance, kind="stable")[: self._most]
        self._distance, self._rows = distance[nearest], rows[:, nearest]

    def lookalikes(self, acquired: MeasuredImages, samples: Sequence[Sample], typical: float) -> Iterator[Lookalike]:
        """Yield the comparisons that are nearer than *typical*, the nearest first.

        Args:
            acquired: the images of the rows.
            samples: the files of the images.
            typical: the median distance within one person.
        """
        same_bytes = set(acquired.shared)
        for distance, one, other in zip(self._distance, *self._rows, strict=True):
            if distance >= typical:
                return
            files = samples[acquired.place[one]].path, samples[acquired.place[other]].path
            if files not in same_bytes:
                yield Lookalike(*files, "one photo" if distance < SAME_PHOTO * typical else "one person")
