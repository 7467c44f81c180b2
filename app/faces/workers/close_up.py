"""Look closer at a face that is small in its picture, so that it is measured at its own resolution.

An engine sees a reduced copy of the whole picture: there, a sharp face in a large frame is blurred or too small to be
found. If no face is found, a larger copy is searched once, in bounded time.
"""

import math
from typing import Final

from app.faces.engine import Engine, Face
from app.faces.flaws import Flaw
from app.faces.permit import PhotoUse
from app.faces.workers.decode import Picture, Region, UploadedPhoto
from app.faces.workers.only_face import choose_only_face

SMALL_FACE: Final = 128
"""Pixels. The networks read crops of 112 and 150 px: a smaller face would be enlarged for them."""
SEARCH_PIXELS: Final = 4_000_000
"""Size of the larger copy. HOG takes 0.4 s for it and YuNet 0.2 s."""
MIN_GAIN: Final = 2.0
"""How many times larger that copy has to be. HOG searches the first copy at twice its size already."""
_MARGIN: Final = 3.0
"""Side of the part that is cut out, relative to the longer side of the face."""


def find_region(
    engine: Engine, photo: UploadedPhoto, picture: Picture, face: Face | None, use: PhotoUse
) -> Region | Flaw | None:
    """Return the part of *photo* to look at; None if *picture* shows the face large enough, or none is found.

    Args:
        engine: searches the larger copy.
        photo: the photo.
        picture: the whole photo, reduced for the engine.
        face: the only face in *picture*, if it has one.
        use: the use of the photo.
    """
    if face is not None:
        is_small = picture.reduction > 1 and _length(face) < SMALL_FACE
        return _around(face, picture) if is_small else None
    larger = _decode_larger(photo, picture)
    if not isinstance(larger, Picture):
        return larger
    found = choose_only_face(engine.search(larger.pixels), use, reduction=larger.reduction)
    if isinstance(found, Face):
        return _around(found, larger)
    return None if found is Flaw.NO_FACE else found


def _decode_larger(photo: UploadedPhoto, picture: Picture) -> Picture | Flaw | None:
    width, height = photo.size
    side = max(width, height) * min(1.0, math.sqrt(SEARCH_PIXELS / (width * height)))
    if side < MIN_GAIN * max(picture.pixels.shape):
        return None
    return photo.decode(side=round(side))


def _length(face: Face) -> int:
    top, right, bottom, left = face.box
    return max(right - left, bottom - top)


def _around(face: Face, picture: Picture) -> Region:
    """Return the square around *face*, cut at the edges of the picture."""
    height, width, _ = picture.pixels.shape
    top, right, bottom, left = face.box
    half = _MARGIN * _length(face) / 2
    across, down = (left + right) / 2, (top + bottom) / 2
    return (
        max(0.0, (across - half) / width),
        max(0.0, (down - half) / height),
        min(1.0, (across + half) / width),
        min(1.0, (down + half) / height),
    )
