"""Whether a face is upright and no negative, and whether its eyes and its mouth can be seen.

An engine describes only faces that look like those of its training. Turned, inverted or covered faces of strangers lie
near each other, so such pictures are refused (docs/explanation/faces.md). The judgement uses the directions of edges in
a grey square that is aligned to the eyes, and no colour. A small network, `appearance.npz`, weighs them. It was trained
by ``benchmarks/train_appearance.py`` on people who do not exist, and its outputs describe no person.
"""

import hashlib
import importlib.resources
import io
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.faces.engine import Face, Pixels

NETWORK_SHA256: Final = "ab3bde0b86120289add3cc489bd72cbd9eed4a0066107ca69df3d6d6d3a8e43a"
APPEARANCE_NAMES: Final = ("upright", "eyes_visible", "mouth_visible")
"""Measures, in the order of the network's outputs."""
SIDE: Final = 80
"""Side of the square, in pixels."""
_UNIT: Final = 25.0
"""Pixels between the eyes in the square."""
_EYES: Final = (40.0, 26.0)
"""Position of the middle between the eyes in the square."""
_REACH: Final = 2.6
"""Eye units from the middle between the eyes to the farthest pixel of the square."""
_CELL: Final = 8
CELLS: Final = SIDE // _CELL
DIRECTIONS: Final = 18
"""Directions of edges, from dark to light: a negative has the opposite ones."""
_FLOOR: Final = 0.02
"""Energy of edges below which a cell counts as smooth."""
_CAP: Final = 0.6
"""Highest share of one direction, so that one strong edge does not decide alone."""

_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]


class OtherNetworkError(Exception):
    """The file of the network is not the one that belongs to this version."""


def _load() -> Mapping[str, _Floats]:
    content = importlib.resources.files("app.faces").joinpath("appearance.npz").read_bytes()
    if hashlib.sha256(content).hexdigest() != NETWORK_SHA256:
        raise OtherNetworkError(NETWORK_SHA256)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: array.astype(np.float32) for name, array in arrays.items()}


def measure_appearance(pixels: Pixels, face: Face) -> dict[str, float]:
    """Return ``upright``, ``eyes_visible`` and ``mouth_visible``: above 0 means rather yes than no."""
    edges = measure_edges(pixels, face).ravel()
    hidden = np.maximum(edges @ _NETWORK["hidden"] + _NETWORK["hidden_bias"], 0)
    outputs = hidden @ _NETWORK["outputs"] + _NETWORK["outputs_bias"]
    return dict(zip(APPEARANCE_NAMES, outputs.tolist(), strict=True))


def measure_edges(pixels: Pixels, face: Face) -> _Floats:
    """Return the share of each direction of edges: shape ``(CELLS, CELLS, DIRECTIONS)``."""
    grey = np.sqrt(_square(pixels, face) / 255)
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    down[1:-1] = grey[2:] - grey[:-2]
    strength = np.hypot(across, down)
    direction = np.arctan2(down, across) % (2 * np.pi) * DIRECTIONS / (2 * np.pi)
    lower = np.floor(direction).astype(np.intp)
    share = direction - lower
    cell = np.arange(SIDE) // _CELL
    first = (cell[:, None] * CELLS + cell) * DIRECTIONS
    count = CELLS * CELLS * DIRECTIONS
    near, far = (first + lower % DIRECTIONS).ravel(), (first + (lower + 1) % DIRECTIONS).ravel()
    counted: _Doubles = np.zeros(count)
    counted += np.bincount(near, (strength * (1 - share)).ravel(), count)
    counted += np.bincount(far, (strength * share).ravel(), count)
    return _normalised(counted.reshape(CELLS, CELLS, DIRECTIONS))


def _normalised(counted: _Doubles) -> _Floats:
    """Divide each cell by the energy around it, so that neither light nor contrast counts."""
    energy = np.pad((counted**2).sum(axis=-1), 1, mode="edge")
    around = sum(energy[i : i + CELLS, j : j + CELLS] for i in range(3) for j in range(3)) / 9
    return np.minimum(counted / np.sqrt(around + _FLOOR)[..., None], _CAP).astype(np.float32)


def _square(pixels: Pixels, face: Face) -> _Floats:
    """Return the grey square, turned so that the eyes are level."""
    (x1, y1), (x2, y2) = face.eyes
    unit = max(float(np.hypot(x2 - x1, y2 - y1)), 1.0)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    right, bottom = pixels.shape[1], pixels.shape[0]
    reach = _REACH * unit
    left, top = max(int(x - reach), 0), max(int(y - reach), 0)
    box = (left, top, max(min(int(x + reach) + 1, right), left + 1), max(min(int(y + reach) + 1, bottom), top + 1))
    reduction = max(1, int(unit / _UNIT))
    grey = Image.fromarray(pixels).crop(box).convert("L").reduce(reduction)
    cos, sin = (x2 - x1) / _UNIT, (y2 - y1) / _UNIT
    start = x - left - cos * _EYES[0] + sin * _EYES[1], y - top - sin * _EYES[0] - cos * _EYES[1]
    matrix = np.array([cos, -sin, start[0], sin, cos, start[1]]) / reduction
    turned = grey.transform((SIDE, SIDE), Image.Transform.AFFINE, tuple(matrix.tolist()), Image.Resampling.BILINEAR)
    return np.asarray(turned, dtype=np.float32)


_NETWORK: Final = _load()
