"""Find the only face in a picture, and the turn that makes it upright.

An engine may find a face in a turned picture and describe it wrongly (`app/faces/appearance.py`). So a picture without
an upright face is turned by 90, 180 and 270 degrees; the turn with the most upright face counts.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.faces.engine import Engine, Face, Pixels
from app.faces.flaws import Flaw
from app.faces.quality import MIN_UPRIGHT, SURELY_UPRIGHT, is_covered

_TURNS: Final = (2, 1, 3)
"""Quarter turns that are tried, the most frequent first."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    """The only face in a picture."""

    pixels: Pixels
    """The picture, turned."""
    face: Face
    turns: int
    """Quarter turns to the left that were needed, 0 to 3."""
    appearance: dict[str, float]

    @property
    def uprightness(self) -> float:
        """The measure `upright`."""
        return self.appearance["upright"]


def find_face(engine: Engine, pixels: Pixels) -> FoundFace | Flaw:
    """Return the only face, upright if a turn makes it so; otherwise the flaw of the picture as it came."""
    first = _look(engine, pixels, 0)
    if first is Flaw.SEVERAL_FACES or _is_sure(first):
        return first
    seen = [first, *(_look(engine, pixels, turns) for turns in _TURNS)]
    upright = [found for found in seen if isinstance(found, FoundFace) and found.uprightness >= MIN_UPRIGHT]
    if not upright:
        return first
    best = max(upright, key=lambda found: found.uprightness)
    return Flaw.NOT_UPRIGHT if _is_negative(engine, best) else best


def turn(pixels: Pixels, turns: int) -> Pixels:
    """Turn a picture to the left by quarter turns."""
    return np.rot90(pixels, turns).copy() if turns else pixels  # dlib refuses other strides, also of one column


def _is_sure(found: FoundFace | Flaw) -> bool:
    """Return whether no other turn need be tried. A turned face often looks covered."""
    return isinstance(found, FoundFace) and found.uprightness >= SURELY_UPRIGHT and not is_covered(found.appearance)


def _is_negative(engine: Engine, found: FoundFace) -> bool:
    """Return whether the inverted picture looks more like an upright face."""
    inverted = np.subtract(255, found.pixels, dtype=np.uint8)
    return engine.measure_appearance(inverted, found.face)["upright"] > found.uprightness


def _look(engine: Engine, pixels: Pixels, turns: int) -> FoundFace | Flaw:
    turned = turn(pixels, turns)
    faces = engine.detect(turned)
    if len(faces) != 1:
        return Flaw.SEVERAL_FACES if faces else Flaw.NO_FACE
    return FoundFace(turned, faces[0], turns, dict(engine.measure_appearance(turned, faces[0])))
