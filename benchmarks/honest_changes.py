"""Changes of a photo that a person may send in good faith: light, contrast, blur, JPEG, and clear glasses."""

import io
from dataclasses import replace
from typing import Final

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from app.faces.engine import Face, Pixels, Point
from benchmarks import covers

_CLEAR: Final = 0.22
"""Opacity of clear lenses, at most."""
_LENSES: Final = (covers.square_lenses, covers.round_lenses, covers.aviator_lenses)


def degrade(pixels: Pixels, random: covers.Random) -> Pixels:
    """Change light, contrast, sharpness and quality of a picture, each in every second picture or so."""
    image = Image.fromarray(pixels)
    if _chance(random, 0.5):
        image = ImageEnhance.Brightness(image).enhance(random.uniform(0.45, 1.6))
    if _chance(random, 0.5):
        image = ImageEnhance.Contrast(image).enhance(random.uniform(0.6, 1.4))
    if _chance(random, 0.4):
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.5, image.width / 250)))
    if _chance(random, 0.5):
        out = io.BytesIO()
        image.save(out, "JPEG", quality=int(random.integers(25, 90)))
        image = Image.open(out).convert("RGB")
    return np.asarray(image)


def wear_clear_glasses(pixels: Pixels, face: Face, random: covers.Random) -> Pixels:
    """Draw glasses that one can see through."""
    shape = _LENSES[random.integers(len(_LENSES))]
    glasses = covers.Cover("nothing", shape, covers.any_plain, float(random.uniform(0, _CLEAR)), frame=True)
    return glasses.draw(pixels, face, int(random.integers(1 << 30)))


def shift_eyes(face: Face, random: covers.Random, by: float) -> Face:
    """Move each eye by about *by* eye units, as another detector would."""
    return replace(face, eyes=_moved(face, np.array(face.eyes), random, by))


def claim_turned(face: Face, degrees: float, random: covers.Random) -> Face:
    """Return *face* as a detector would see it that takes the turned face for an upright one."""
    eyes = np.array(face.eyes)
    across = (eyes[1] - eyes[0]) / 2
    below = np.array([-across[1], across[0]]) * 1.1
    middle, turn = eyes.mean(axis=0) + below, np.deg2rad(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    claimed = np.array([middle + matrix @ (sign * across - below) for sign in (-1, 1)])
    claimed += random.normal(0, 0.12 * np.hypot(*across) * 2, 2)
    return replace(face, eyes=_moved(face, claimed, random, 0.06))


def _chance(random: covers.Random, share: float) -> bool:
    return bool(random.random() < share)


def _moved(face: Face, eyes: covers.Floats, random: covers.Random, by: float) -> tuple[Point, Point]:
    left, right = eyes + random.normal(0, by * covers.measure_unit(face), (2, 2))
    return (float(left[0]), float(left[1])), (float(right[0]), float(right[1]))
