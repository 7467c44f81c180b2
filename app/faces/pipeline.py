"""One image through a worker: decode, find every face, judge, and only then measure the one."""

import io
from typing import Final

import numpy as np
from PIL import Image

from app.faces.decode import decode, encode
from app.faces.engine import Engine, Face
from app.faces.flaws import Flaw, FlawCode
from app.faces.messages import Measured
from app.faces.quality import measures, verdict

_SOME_FACE: Final = Face(
    box=(120, 220, 220, 120),
    points=((200.0, 150.0), (185.0, 150.0), (140.0, 150.0), (155.0, 150.0), (170.0, 180.0)),
    eyes=((147.5, 150.0), (192.5, 150.0)),
    nose=(170.0, 180.0),
)


def measure(engine: Engine, image: bytes, *, keep_photo: bool, max_pixels: int) -> Measured | Flaw:
    """Return the one face in *image*, or why it gives none. Two faces are refused before either is embedded."""
    try:
        return _measure(engine, image, keep_photo=keep_photo, max_pixels=max_pixels)
    except MemoryError:
        return Flaw(FlawCode.BROKEN)


def warm_up(engine: Engine, max_pixels: int) -> None:
    """Go once through every step that loads something at first use, without a person's photo."""
    grey = np.full((320, 320, 3), 128, dtype=np.uint8)
    for form in ("JPEG", "PNG", "WEBP"):
        decode(_blank(form), max_pixels=max_pixels)
    encode(grey)
    engine.detect(grey)
    verdict(measures(grey, _SOME_FACE, reduction=1.0))
    engine.embed(grey, _SOME_FACE)


def _measure(engine: Engine, image: bytes, *, keep_photo: bool, max_pixels: int) -> Measured | Flaw:
    picture = decode(image, max_pixels=max_pixels, side=engine.side)
    if isinstance(picture, FlawCode):
        return Flaw(picture)
    faces = engine.detect(picture.pixels)
    if len(faces) != 1:
        return Flaw(FlawCode.SEVERAL_FACES if faces else FlawCode.NO_FACE)
    quality = measures(picture.pixels, faces[0], reduction=picture.reduction)
    if (flaw := verdict(quality)) is not None:
        return Flaw(flaw)
    # Unpacked again, larger: what is measured is the same, kept or not, and a probe is not unpacked for a photo.
    photo = decode(image, max_pixels=max_pixels) if keep_photo else None
    if isinstance(photo, FlawCode):
        return Flaw(photo)
    vector = tuple(float(value) for value in engine.embed(picture.pixels, faces[0]))
    return Measured(vector, quality, encode(photo.pixels) if photo else None)


def _blank(form: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(out, form)
    return out.getvalue()
