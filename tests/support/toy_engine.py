"""An engine for tests that detects coloured stripes instead of faces, with real workers, limits and sandbox.

Each stripe of saturated colour on a grey picture is one face, and its 128 numbers are a function of the colour: the
same colour gives distance 0, a near one a small distance, another one about 1. ``toy_faces`` makes the pictures.
"""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from app.faces.cards.card import Card, parse_card
from app.faces.engine import Face, Pixels
from app.faces.reduce import reduce_with_pillow

SPEC = "tests.support.toy_engine:ToyEngine"
OTHER_SPEC = "tests.support.toy_engine:OtherToyEngine"
NARROWEST = 24
"""Fewest columns of a face; a narrower stripe is the blur of a border."""

_DIMENSIONS = 128
_random = np.random.default_rng(7)
_WAVES = _random.normal(scale=0.03, size=(_DIMENSIONS, 3))
_PHASES = _random.uniform(0, 2 * np.pi, size=_DIMENSIONS)


class ToyEngine:
    """A deterministic engine that loads fast."""

    id = "toy"
    dimensions = _DIMENSIONS
    side = 640
    reduce = staticmethod(reduce_with_pillow)

    def __init__(self, digests: Mapping[str, str], settings: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.weights_sha256 = digests["toy_engine.py"]

    @staticmethod
    def weights_files(settings: Mapping[str, Any] = MappingProxyType({})) -> Mapping[str, Path]:  # noqa: ARG004 - it has none
        """Return this file, which has the weights."""
        return {"toy_engine.py": Path(__file__)}

    def detect(self, pixels: Pixels) -> list[Face]:
        """Return one face for each coloured stripe."""
        columns = pixels.astype(np.float64).mean(axis=0)
        coloured = np.concatenate(([False], np.ptp(columns, axis=1) > 60, [False]))
        edges = np.flatnonzero(np.diff(coloured.astype(np.int8)))
        return [
            _face(int(left), int(right), pixels.shape[0])
            for left, right in edges.reshape(-1, 2)
            if right - left >= NARROWEST
        ]

    def measure_appearance(self, pixels: Pixels, face: Face) -> Mapping[str, float]:
        """Return the measures of a face about which nothing is wrong."""
        return {"upright": 9.0, "eyes_visible": 9.0, "mouth_visible": 9.0}

    def search(self, pixels: Pixels) -> list[Face]:
        """Return the same faces."""
        return self.detect(pixels)

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return a vector of the stripe's colour; some colours sleep, crash or exhaust the memory first."""
        _, right, _, left = face.box
        colour = np.median(pixels[:, left + 4 : right - 4].reshape(-1, 3), axis=0)
        _act([int(part) for part in colour])
        vector: list[float] = (np.cos(_WAVES @ colour + _PHASES) / np.sqrt(_DIMENSIONS)).tolist()
        return vector


class OtherToyEngine(ToyEngine):
    """Another engine: it detects the same faces, but its vectors cannot be compared with those of the first."""

    id = "other_toy"

    def __init__(self, digests: Mapping[str, str], settings: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.weights_sha256 = digests["toy_faces.py"]

    @staticmethod
    def weights_files(settings: Mapping[str, Any] = MappingProxyType({})) -> Mapping[str, Path]:  # noqa: ARG004 - it has none
        """Return another file, so that the hash is another."""
        return {"toy_faces.py": Path(__file__).with_name("toy_faces.py")}

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return the vector of the first engine, reversed and negated."""
        return [-value for value in reversed(super().embed(pixels, face))]


def toy_card() -> Card:
    """Return the card for ``ToyEngine``: a short table in which 0.54 is a false match rate of 1e-3."""
    return _card("toy", "toy_engine.py")


def other_toy_card() -> Card:
    """Return the card for ``OtherToyEngine``, with the same table."""
    return _card("other_toy", "toy_faces.py")


def _card(engine_id: str, weights: str) -> Card:
    digest = hashlib.sha256(Path(__file__).with_name(weights).read_bytes()).hexdigest()
    file = {"name": weights, "sha256": digest, "role": "all", "used": True, "licence": "Apache-2.0"}
    return parse_card(
        {
            "id": engine_id,
            "engine": engine_id,
            "dimensions": _DIMENSIONS,
            "metric": "l2",
            "pipeline": "stripes",
            "settings": {},
            "default_target_fmr": 1e-3,
            "licence": "Apache-2.0",
            "training_data": "None: it was written, not trained.",
            "depicted_people_agreed": True,
            "weights": weights,
            "files": [file],
            "calibration": {
                "trial": {"name": "invented", "images": 0, "people": 0},
                "pairs_floor": 1e-6,
                "ci95_by_person": [
                    {"threshold": 0.30, "fmr": [5e-6, 2e-5], "fnmr": [0.0, 0.01]},
                    {"threshold": 0.54, "fmr": [9e-4, 1.1e-3], "fnmr": [0.0, 0.01]},
                ],
                "fmr_by_origin": {"trial": "invented", "thresholds": {"0.54": {"A-F": 1e-3, "A-M": 1e-3}}},
                "table": [_row(0.30, 1e-5), _row(0.45, 1e-4), _row(0.54, 1e-3), _row(0.60, 1e-2)],
            },
        }
    )


def _row(threshold: float, fmr: float) -> dict[str, object]:
    groups = {"fmr_by_group": {"FF": fmr, "MM": fmr, "FM": fmr}, "fnmr_by_group": {"F": 0.01, "M": 0.01}}
    return {"threshold": threshold, "fmr": fmr, "fnmr": 0.01, **groups}


def _face(left: int, right: int, height: int) -> Face:
    """Return a frontal face as wide as the stripe, so that the quality checks see one colour."""
    middle, across = (left + right) / 2, min(right - left, height) / 2
    eye_line = height * 0.4
    eyes = ((middle - across / 2, eye_line), (middle + across / 2, eye_line))
    nose = (middle, eye_line + 0.75 * across)
    return Face((0, right, height, left), (*eyes, nose, *eyes), eyes, nose)


def _act(colour: list[int]) -> None:
    match colour:
        case [255, 0, tenths]:
            time.sleep(tenths / 10)
        case [0, 255, 0]:
            os._exit(1)
        case [0, 255, 255]:
            raise MemoryError
