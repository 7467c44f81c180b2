"""Find the only face in a picture, and the turn that makes it upright.

An engine may find a face in a turned picture and describe it wrongly (`app/faces/appearance.py`). So a picture without
an upright face is turned by 90, 180 and 270 degrees; the turn with the most upright face counts. A face that is still
tilted is then searched again in a picture with level eyes, because YuNet misplaces the points of a tilted face.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import atan2, degrees
from typing import Final, TypeAlias

import numpy as np
from PIL import Image

from app.faces.engine import Engine, Face, Pixels
from app.faces.flaws import Flaw
from app.faces.quality import LIKELY_UPRIGHT, MIN_UPRIGHT, SURE

_TURNS: Final = (2, 1, 3)
"""Quarter turns that are tried, the most frequent first."""
_TILTS: Final = (45.0, -45.0)
"""Degrees that are tried if no quarter turn gives a face that is surely upright."""
_MAX_TILT: Final = 20.0
"""Degrees between the eyes and the horizontal above which a face is searched again with level eyes."""

ChooseFace: TypeAlias = Callable[[Sequence[Face]], Face | Flaw]
"""Returns the only face of a picture (`only_face.py`)."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    """The only face in a picture."""

    pixels: Pixels
    """The picture, turned."""
    face: Face
    turns: int
    """Quarter turns to the left that were needed, 0 to 3."""
    appearance: dict[str, float]
    levelled: bool = False
    """Whether the picture was also turned by the tilt of the eyes."""

    @property
    def in_place(self) -> bool:
        """Whether the face lies where it lay in the picture that was searched."""
        return not self.turns and not self.levelled

    @property
    def uprightness(self) -> float:
        """The measure `upright`."""
        return self.appearance["upright"]


def find_face(engine: Engine, pixels: Pixels, choose: ChooseFace) -> FoundFace | Flaw:
    """Return the only face, upright if a turn makes it so; otherwise the flaw of the picture as it came."""
    found = _find_upright(engine, pixels, choose)
    return found if isinstance(found, Flaw) else _level(engine, found, choose)


def _find_upright(engine: Engine, pixels: Pixels, choose: ChooseFace) -> FoundFace | Flaw:
    first = _look(engine, pixels, choose)
    if first is Flaw.SEVERAL_FACES or _is_sure(first):
        return first
    turns = _TURNS[:1] if _is_likely(first) else _TURNS
    looks = [first, *(_look(engine, turn(pixels, number), choose, turns=number) for number in turns)]
    seen = _only_found(looks)
    if not any(map(_is_likely, seen)) and Flaw.SEVERAL_FACES in looks:
        return Flaw.SEVERAL_FACES  # the right turn shows another face too
    if not seen:
        return first
    best = _most_upright(seen)
    if not _is_likely(best):
        views = (_rotate(best.pixels, angle) for angle in _TILTS)
        tilted = (_look(engine, view, choose, turns=best.turns, levelled=True) for view in views)
        best = _most_upright([best, *_only_found(tilted)])
    if best.uprightness < MIN_UPRIGHT:
        return first
    return Flaw.NOT_UPRIGHT if _is_negative(engine, best) else best


def turn(pixels: Pixels, turns: int) -> Pixels:
    """Turn a picture to the left by quarter turns."""
    return np.rot90(pixels, turns).copy() if turns else pixels  # dlib refuses other strides, also of one column


def _only_found(seen: Iterable[FoundFace | Flaw]) -> list[FoundFace]:
    return [found for found in seen if isinstance(found, FoundFace)]


def _most_upright(seen: Iterable[FoundFace]) -> FoundFace:
    return max(seen, key=lambda found: found.uprightness)


def _rotate(pixels: Pixels, angle: float) -> Pixels:
    """Turn a picture to the left by *angle* degrees; the corners become black."""
    return np.array(Image.fromarray(pixels).rotate(angle, Image.Resampling.BILINEAR, expand=True))


def _is_likely(found: FoundFace | Flaw) -> bool:
    return isinstance(found, FoundFace) and found.uprightness >= LIKELY_UPRIGHT


def _is_sure(found: FoundFace | Flaw) -> bool:
    """Return whether no other turn need be tried. A turned face often looks half covered."""
    return isinstance(found, FoundFace) and all(found.appearance[name] >= least for name, least in SURE.items())


def _level(engine: Engine, found: FoundFace, choose: ChooseFace) -> FoundFace | Flaw:
    """Return the face as found with level eyes. A tilted face that is lost there is not described."""
    (x1, y1), (x2, y2) = found.face.eyes
    tilt = degrees(atan2(y2 - y1, x2 - x1))
    if abs(tilt) <= _MAX_TILT:
        return found
    level = _look(engine, _rotate(found.pixels, tilt), choose, turns=found.turns, levelled=True)
    return Flaw.NOT_UPRIGHT if isinstance(level, Flaw) else level


def _is_negative(engine: Engine, found: FoundFace) -> bool:
    """Return whether the inverted picture looks more like an upright face."""
    inverted = np.subtract(255, found.pixels, dtype=np.uint8)
    return engine.measure_appearance(inverted, found.face)["upright"] > found.uprightness


def _look(
    engine: Engine, pixels: Pixels, choose: ChooseFace, *, turns: int = 0, levelled: bool = False
) -> FoundFace | Flaw:
    face = choose(engine.detect(pixels))
    if isinstance(face, Flaw):
        return face
    return FoundFace(pixels, face, turns, dict(engine.measure_appearance(pixels, face)), levelled)
