"""Pictures for ``tests.support.toy_engine``: people are colours.

They pass the quality checks: a stripe is light enough, and wide enough for its two "eyes" to be 30 px apart. It has one
tint from brow to chin, and sharp darker bands across it. Its colour is the one between the bands.
"""

import io
from itertools import product

import numpy as np
from PIL import Image

from tests.support.toy_engine import NARROWEST

_LEVELS = (60, 110, 160, 210, 250)
_PALETTE = [colour for colour in product(_LEVELS, repeat=3) if max(colour) - min(colour) >= 100]
_BANDS = 20
"""Darker bands from top to bottom, each a third of its share of the height."""
_SHADE = 60
PEOPLE = len(_PALETTE)
"""Number of people. Any two differ by at least 50 levels of one colour."""
_STRIDE = 31
"""Has no common factor with PEOPLE, so that people with neighbouring numbers have different colours."""


def toy_photo(
    *people: int,
    variant: int = 0,
    size: tuple[int, int] = (320, 240),
    format: str = "PNG",  # noqa: A002
) -> bytes:
    """Return a photo of *people*, or an empty picture.

    Args:
        people: their numbers, 0 to PEOPLE - 1, from left to right.
        variant: another photo of the same people; 0 to 9, at distances up to about 0.4 (below 0.54).
        size: width and height; 90 px of width to each person, at least.
        format: JPEG, PNG or WEBP (lossless).
    """
    colours = [tuple(part - 3 * variant // 2 for part in _PALETTE[person * _STRIDE % PEOPLE]) for person in people]
    return _photo(colours, size, format)


def slow_photo(seconds: float) -> bytes:
    """Return a photo of one person that takes the engine *seconds*, in tenths, to measure."""
    return _photo([(255, 0, round(seconds * 10))], (320, 240), "PNG")


def crashing_photo() -> bytes:
    """Return a photo that ends the worker which measures it."""
    return _photo([(0, 255, 0)], (320, 240), "PNG")


def exhausting_photo() -> bytes:
    """Return a photo that takes more memory to measure than the worker may have."""
    return _photo([(0, 255, 255)], (320, 240), "PNG")


def _photo(colours: list[tuple[int, ...]], size: tuple[int, int], form: str) -> bytes:
    width, height = size
    pixels = np.full((height, width, 3), 128, dtype=np.int16)
    if colours and width // len(colours) < 3 * NARROWEST:
        raise ValueError("too many people for the width")
    banded = np.arange(height) * _BANDS * 3 // height % 3 == 0
    for place, colour in enumerate(colours):
        room = width // len(colours)
        left, right = place * room + room // 8, (place + 1) * room - room // 8
        pixels[:, left:right] = colour
        pixels[banded, left:right] -= _SHADE
    out = io.BytesIO()
    lossless = {"lossless": True} if form == "WEBP" else {"quality": 95} if form == "JPEG" else {}
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, form, **lossless)
    return out.getvalue()
