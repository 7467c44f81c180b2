"""Steps for one image in a worker: decode, find the only face upright, look closer, check it, then embed it."""

import io
import math
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from PIL import Image

from app.faces.engine import PHOTO_SIDE, Engine, Face, Pixels, Vector
from app.faces.flaws import Flaw
from app.faces.permit import PhotoUse
from app.faces.quality import find_flaw, measure_quality
from app.faces.workers.close_up import find_region
from app.faces.workers.decode import Picture, Region, UploadedPhoto, check, decode, encode
from app.faces.workers.messages import Measurement
from app.faces.workers.only_face import choose_only_face
from app.faces.workers.upright import FoundFace, find_face, turn

_SAMPLE_FACE: Final = Face(
    box=(120, 220, 220, 120),
    points=((200.0, 150.0), (185.0, 150.0), (140.0, 150.0), (155.0, 150.0), (170.0, 180.0)),
    eyes=((147.5, 150.0), (192.5, 150.0)),
    nose=(170.0, 180.0),
)


@dataclass(frozen=True, slots=True)
class _View:
    """The only face, and the part of the photo in which it was found."""

    found: FoundFace
    reduction: float
    region: Region | None
    """None if the face was found in the whole photo."""


class UnusableVectorError(Exception):
    """The engine's vector has another length than on its card, or is zeros or not finite."""


def measure(
    engine: Engine, image: bytes, *, use: PhotoUse = PhotoUse.ENROLMENT, keep_photo: bool, max_pixels: int
) -> Measurement | Flaw:
    """Return the features of the only face in *image*, or its flaw. Never is more than one face embedded.

    Args:
        engine: finds and describes faces.
        image: the file.
        use: decides the limits, and whether bystanders are ignored.
        keep_photo: return the photo too.
        max_pixels: a larger original is not decoded.
    """
    try:
        return _measure(engine, image, use=use, keep_photo=keep_photo, max_pixels=max_pixels)
    except MemoryError:
        return Flaw.BROKEN


def warm_up(engine: Engine, max_pixels: int) -> None:
    """Run every step once on a grey picture, since libraries load modules at first use.

    Raises:
        UnusableVectorError: the engine gives no usable vector.
    """
    grey = _grey()
    for form in ("JPEG", "PNG", "WEBP"):
        decode(_blank(form), max_pixels=max_pixels)
    encode(grey)
    engine.detect(grey)
    engine.search(grey)
    measured = measure_quality(grey, _SAMPLE_FACE, reduction=1.0) | dict(engine.measure_appearance(grey, _SAMPLE_FACE))
    find_flaw(measured, PhotoUse.ENROLMENT)
    if len(vector := _vector(engine, grey, _SAMPLE_FACE)) != engine.dimensions or not _usable(vector):
        raise UnusableVectorError


def forget(engine: Engine) -> None:
    """Overwrite the engine's own buffers with a grey picture: its networks keep their last input and output."""
    grey = _grey()
    engine.detect(grey)
    engine.embed(grey, _SAMPLE_FACE)


def _grey() -> Pixels:
    return np.full((320, 320, 3), 128, dtype=np.uint8)


def _measure(engine: Engine, image: bytes, *, use: PhotoUse, keep_photo: bool, max_pixels: int) -> Measurement | Flaw:
    photo = check(image, max_pixels=max_pixels, reduce=engine.reduce)
    if isinstance(photo, Flaw):
        return photo
    view = _find_view(engine, photo, use)
    if isinstance(view, Flaw):
        return view
    found = view.found
    quality = measure_quality(found.pixels, found.face, reduction=view.reduction) | found.appearance
    if (flaw := find_flaw(quality, use)) is not None:
        return flaw
    # Decoded again, larger: the vector does not depend on keep_photo, and a probe is not decoded at photo size.
    kept = photo.decode(side=PHOTO_SIDE, region=view.region) if keep_photo else None
    if isinstance(kept, Flaw):
        return kept
    if not _usable(vector := _vector(engine, found.pixels, found.face)):
        return Flaw.BROKEN
    return Measurement(vector, quality, encode(turn(kept.pixels, found.turns)) if kept else None)


def _find_view(engine: Engine, photo: UploadedPhoto, use: PhotoUse) -> _View | Flaw:
    """Return the only face, in the whole picture or in a part of it where the face is larger."""
    whole = photo.decode(side=engine.side)
    if isinstance(whole, Flaw):
        return whole
    first = _look(engine, whole, None, use)
    if first is Flaw.NO_FACE:
        region = find_region(engine, photo, whole, None, use)
    elif isinstance(first, _View) and first.found.in_place:
        region = find_region(engine, photo, whole, first.found.face, use)
    else:
        return first
    if region is None or isinstance(region, Flaw):
        return region or first
    part = photo.decode(side=engine.side, region=region)
    closer = part if isinstance(part, Flaw) else _look(engine, part, region, use)
    return first if closer is Flaw.NO_FACE else closer


def _look(engine: Engine, picture: Picture, region: Region | None, use: PhotoUse) -> _View | Flaw:
    found = find_face(engine, picture.pixels, partial(choose_only_face, use=use, reduction=picture.reduction))
    return found if isinstance(found, Flaw) else _View(found, picture.reduction, region)


def _vector(engine: Engine, pixels: Pixels, face: Face) -> Vector:
    return tuple(float(value) for value in engine.embed(pixels, face))


def _usable(vector: Vector) -> bool:
    """Return whether distances to *vector* exist; the cosine of zeros does not."""
    return all(map(math.isfinite, vector)) and any(vector)


def _blank(form: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(out, form)
    return out.getvalue()
