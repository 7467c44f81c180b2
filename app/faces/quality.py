"""Quality of a face photo: ten measures and their limits.

Positions on the face are in *eye units*. The origin is midway between the eyes, x runs along their line, y down the
face, and the eyes are one unit apart. Light is compared within the face, never with a fixed skin tone. Colour decides
nothing: covers are judged by structure.

The limits exclude photos that cannot work; they are no standard such as ISO/IEC 29794-5. They were chosen with the
synthetic people of ``tests/images`` (table in docs/explanation/faces.md).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.faces.engine import Face, Pixels
from app.faces.flaws import Flaw
from app.faces.permit import PhotoUse

MIN_BRIGHTNESS: Final = 50.0
"""Below it a face is too dark. The lightest twentieth decides, not the mean: well lit dark skin has highlights.
Measured: good photos 165-206; at 20 % exposure 34-41, and distances rise."""
MAX_GLARE: Final = 0.35
"""Above it a face is too bright. Measured: good photos 0.00; overexposed threefold 0.46-0.77, and matches fail."""
MIN_EYE_DISTANCE: Final = 24.0
"""Pixels of the original. Measured: at 25 px distances rise by 0.03 at most, at 19 px by 0.07, at 15 px by 0.13."""
MIN_SHARPNESS: Final = 0.015
"""Below it a face is blurred. Measured: good photos 0.13-0.47; at 0.02 distances rise by 0.06 at most, below 0.015 by
up to 0.16."""
MAX_YAW: Final = {PhotoUse.ENROLMENT: 0.25, PhotoUse.PROBE: 0.35}
"""Beyond it, to either side, a face is turned away. Measured: frontal at most 0.10, turned 0.10-0.60. On LFW misses do
not become more frequent before 0.35 (docs/explanation/faces.md)."""
MAX_FORESHORTENING: Final = 1.05
"""Above it a face is turned away: in a near profile the five points collapse, but the eyes come together.
Measured: frontal 0.69-0.88, near profiles 1.17-1.56. Equal for both uses: it refuses near profiles only."""
MIN_EYE_DETAIL: Final = 0.09
"""Below it plain lenses cover the eyes. Measured: 2 of 1,444 honest photos are below. Of 363 pairs of black aviators, 2
pass this limit and the next (docs/explanation/faces.md)."""
MIN_UPRIGHT: Final = 0.0
"""Below it a face is turned, or a negative. The measure is one of `app/faces/appearance.py`."""
LIKELY_UPRIGHT: Final = 5.0
"""From here on a face lies upright or upside down, but not on its side."""
SURE: Final = {"upright": 8.0, "eyes_visible": 1.0, "mouth_visible": 2.0}
"""Below one of them, other turns of the picture, and its negative, are compared."""
MIN_EYES_VISIBLE: Final = -2.5
"""Below it the eyes are covered."""
MIN_MOUTH_VISIBLE: Final = 0.3
"""Below it mouth or nose are covered."""

_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_SAMPLES: Final = 40  # in one eye unit
_CROP: Final = 96  # px, size of the crop for the sharpness
_CLIPPED: Final = 250

_Area = tuple[float, float, float, float]
"""Rectangle in eye units: x and y of its middle, width, height."""
_FACE: Final[_Area] = (0.0, 0.45, 1.5, 1.7)
_EYES: Final[tuple[_Area, ...]] = ((-0.5, 0.0, 0.3, 0.16), (0.5, 0.0, 0.3, 0.16))
_NOISE: Final = 12.0
"""Luma that is added before the logarithm, so that noise in a dark area is no detail."""

_Floats = npt.NDArray[np.float64]


def measure_quality(pixels: Pixels, face: Face, *, reduction: float) -> dict[str, float]:
    """Return the seven measures of *face* that need no network, by name.

    Args:
        reduction: pixels of the original photo per pixel of *pixels*.
    """
    frame = _Frame(pixels, face)
    luma = frame.patch(_FACE) @ _LUMA
    return {
        "brightness": float(np.percentile(luma, 95)),
        "glare": float(np.mean(luma >= _CLIPPED)),
        "eye_distance": frame.eye_distance * reduction,
        "sharpness": _sharpness(pixels, face),
        "yaw": frame.nose[0],
        "foreshortening": frame.nose[1],
        "eye_detail": max(frame.contrast(area) for area in _EYES),
    }


def find_flaw(quality: Mapping[str, float], use: PhotoUse) -> Flaw | None:
    """Return the flaw to correct first; None if the quality is good enough for *use*."""
    found = {
        # Before the size, since the eyes of a turned face are near each other.
        Flaw.TURNED_AWAY: abs(quality["yaw"]) > MAX_YAW[use] or quality["foreshortening"] > MAX_FORESHORTENING,
        Flaw.NOT_UPRIGHT: quality["upright"] < MIN_UPRIGHT,
        Flaw.TOO_SMALL: quality["eye_distance"] < MIN_EYE_DISTANCE,
        Flaw.TOO_DARK: quality["brightness"] < MIN_BRIGHTNESS,
        Flaw.TOO_BRIGHT: quality["glare"] > MAX_GLARE,
        Flaw.BLURRED: quality["sharpness"] < MIN_SHARPNESS,
        Flaw.COVERED: _is_covered(quality),
    }
    return next((flaw for flaw, applies in found.items() if applies), None)


def _is_covered(quality: Mapping[str, float]) -> bool:
    """Return whether the eyes or the mouth cannot be seen."""
    return (
        quality["eye_detail"] < MIN_EYE_DETAIL
        or quality["eyes_visible"] < MIN_EYES_VISIBLE
        or quality["mouth_visible"] < MIN_MOUTH_VISIBLE
    )


class _Frame:
    """Coordinates of one face."""

    def __init__(self, pixels: Pixels, face: Face) -> None:
        left, right = (np.array(eye, dtype=np.float64) for eye in face.eyes)
        across = right - left
        self._pixels = pixels
        self._middle: _Floats = (left + right) / 2
        self.eye_distance = max(float(np.hypot(*across)), 1.0)
        self._x: _Floats = across / self.eye_distance
        self._y: _Floats = np.array([-self._x[1], self._x[0]])
        nose = (np.array(face.nose) - self._middle) / self.eye_distance
        self.nose = float(nose @ self._x), float(nose @ self._y)

    def patch(self, area: _Area) -> _Floats:
        """Return the pixels of an area; beyond the picture, those at its edge."""
        x, y, width, height = area
        xs = np.arange(x - width / 2, x + width / 2, 1 / _SAMPLES)
        ys = np.arange(y - height / 2, y + height / 2, 1 / _SAMPLES)
        grid_x, grid_y = np.meshgrid(xs, ys)
        at = self._middle + self.eye_distance * (grid_x[..., None] * self._x + grid_y[..., None] * self._y)
        column = np.clip(np.rint(at[..., 0]), 0, self._pixels.shape[1] - 1).astype(np.intp)
        row = np.clip(np.rint(at[..., 1]), 0, self._pixels.shape[0] - 1).astype(np.intp)
        patch: _Floats = self._pixels[row, column].astype(np.float64)
        return patch

    def contrast(self, area: _Area) -> float:
        """Return the deviation of the logarithm of luma in an area: equal in light and in shade, on any skin."""
        return float(np.log(self.patch(area) @ _LUMA + _NOISE).std())


def _sharpness(pixels: Pixels, face: Face) -> float:
    """Return the ratio of the Laplacian's variance to the luma's: the share of fine detail in the contrast."""
    top, right, bottom, left = face.box
    box = (left, top, max(right, left + 1), max(bottom, top + 1))
    crop = Image.fromarray(pixels).crop(box).convert("L").resize((_CROP, _CROP), Image.Resampling.BICUBIC)
    luma = np.asarray(crop, dtype=np.float64)
    ring = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float((ring - 4 * luma[1:-1, 1:-1]).var() / max(luma.var(), 1.0))
