"""One image through a worker: decode, find every face, judge, and only then measure the one."""

import io
import math
from typing import Final

import numpy as np
from PIL import Image

from app.faces.engine import Engine, Face, Pixels, Vector
from app.faces.flaws import Flaw
from app.faces.quality import find_flaw, measure_quality
from app.faces.workers.decode import decode, encode
from app.faces.workers.messages import Measurement

_SOME_FACE: Final = Face(
    box=(120, 220, 220, 120),
    points=((200.0, 150.0), (185.0, 150.0), (140.0, 150.0), (155.0, 150.0), (170.0, 180.0)),
    eyes=((147.5, 150.0), (192.5, 150.0)),
    nose=(170.0, 180.0),
)


class UnusableVectorError(Exception):
    """What an engine gave is no vector."""


def measure(engine: Engine, image: bytes, *, keep_photo: bool, max_pixels: int) -> Measurement | Flaw:
    """Return the one face in *image*, or why it gives none. Two faces are refused before either is embedded."""
    try:
        return _measure(engine, image, keep_photo=keep_photo, max_pixels=max_pixels)
    except MemoryError:
        return Flaw.BROKEN


def warm_up(engine: Engine, max_pixels: int) -> None:
    """Go once through every step that loads something at first use, without a person's photo.

    Raises:
        UnusableVectorError: the engine makes of grey what is not as many numbers as its card says, or zeros, or NaN.
    """
    grey = np.full((320, 320, 3), 128, dtype=np.uint8)
    for form in ("JPEG", "PNG", "WEBP"):
        decode(_blank(form), max_pixels=max_pixels)
    encode(grey)
    engine.detect(grey)
    find_flaw(measure_quality(grey, _SOME_FACE, reduction=1.0))
    if len(vector := _vector(engine, grey, _SOME_FACE)) != engine.dimensions or not _usable(vector):
        raise UnusableVectorError


def _measure(engine: Engine, image: bytes, *, keep_photo: bool, max_pixels: int) -> Measurement | Flaw:
    picture = decode(image, max_pixels=max_pixels, side=engine.side)
    if isinstance(picture, Flaw):
        return picture
    faces = engine.detect(picture.pixels)
    if len(faces) != 1:
        return Flaw(Flaw.SEVERAL_FACES if faces else Flaw.NO_FACE)
    quality = measure_quality(picture.pixels, faces[0], reduction=picture.reduction)
    if (flaw := find_flaw(quality)) is not None:
        return flaw
    # Unpacked again, larger: what is measured is the same, kept or not, and a probe is not unpacked for a photo.
    photo = decode(image, max_pixels=max_pixels) if keep_photo else None
    if isinstance(photo, Flaw):
        return photo
    if not _usable(vector := _vector(engine, picture.pixels, faces[0])):
        return Flaw.BROKEN
    return Measurement(vector, quality, encode(photo.pixels) if photo else None)


def _vector(engine: Engine, pixels: Pixels, face: Face) -> Vector:
    return tuple(float(value) for value in engine.embed(pixels, face))


def _usable(vector: Vector) -> bool:
    """Say whether distances can be taken to it: from zeros, the cosine has none."""
    return all(map(math.isfinite, vector)) and any(vector)


def _blank(form: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(out, form)
    return out.getvalue()
