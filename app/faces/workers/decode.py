"""Decode untrusted bytes to upright RGB pixels, in the worker only.

The first bytes decide the format, never a file name or a header of the request. Pillow receives a copy without side
data (``strip_metadata``): colour profiles are not applied, and the orientation comes from EXIF alone. Of an animation
or a multi-picture file, only the first frame is decoded.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin

from app.faces.engine import PHOTO_SIDE, Pixels, Reduce
from app.faces.flaws import Flaw
from app.faces.reduce import reduce_with_pillow, resize
from app.faces.workers.formats import recognise
from app.faces.workers.strip_metadata import PictureFile, add_end_marker, strip_side_data

_Answer = TypeVar("_Answer")

_PHOTO_QUALITY: Final = 90
_BACKGROUND: Final = (255, 255, 255)
_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (CIPA DC-008, 4.6.5) to the transposition that makes the picture upright."""
_SIDEWAYS: Final = frozenset(_UPRIGHT[orientation] for orientation in (5, 6, 7, 8))
PLUGINS: Final = (JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin)
"""Imported before the sandbox closes: Pillow would import MPO, the JPEG of some phones, at first use."""


Region: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom edge of a part of an upright picture, as shares of its width and height."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded photo, or a part of one."""

    pixels: Pixels
    """Upright; the longer side at most the requested one."""
    reduction: float
    """Pixels of the original per pixel of ``pixels``, 1 or more."""


@dataclass(frozen=True, slots=True)
class UploadedPhoto:
    """An uploaded photo that was checked, and can be decoded at several sizes."""

    image_format: str
    content: bytes
    turn: Image.Transpose | None
    """Makes the decoded picture upright."""
    size: tuple[int, int]
    """Width and height of the upright original."""
    reduce: Reduce

    def decode(self, *, side: int, region: Region | None = None) -> Picture | Flaw:
        """Return the photo, or a part of it, reduced to *side* pixels at its longer side."""
        return _guarded(lambda: self._decode(side, region))

    def _decode(self, side: int, region: Region | None) -> Picture:
        with _open(self.content, self.image_format) as opened:
            if region is None:
                return self._whole(opened, side)
            return self._part(opened, side, region)

    def _whole(self, opened: ImageFile.ImageFile, side: int) -> Picture:
        original = max(opened.size)
        size = _fit(opened.size, side)
        opened.draft(None, size)  # a large JPEG is decoded at 1/2, 1/4 or 1/8, never below `size`
        pixels = self._reduced(_eight_bit(opened), size)
        upright = pixels if self.turn is None else np.asarray(Image.fromarray(pixels).transpose(self.turn))
        return Picture(upright, original / max(size))

    def _part(self, opened: ImageFile.ImageFile, side: int, region: Region) -> Picture:
        image = _eight_bit(opened)
        image = image if self.turn is None else image.transpose(self.turn)
        (left, top, right, bottom), (width, height) = region, image.size
        image = image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
        size = _fit(image.size, side)
        return Picture(self._reduced(image, size), max(image.size) / max(size))

    def _reduced(self, image: Image.Image, size: tuple[int, int]) -> Pixels:
        if image.size == size:
            return np.asarray(_opaque(image))
        if image.has_transparency_data:
            return np.asarray(_opaque(resize(image, size)))
        return self.reduce(np.asarray(image.convert("RGB")), size)


def decode(
    image: bytes, *, max_pixels: int, side: int = PHOTO_SIDE, reduce: Reduce = reduce_with_pillow
) -> Picture | Flaw:
    """Return the picture in *image*, or its flaw; see `check` and `UploadedPhoto.decode`."""
    photo = check(image, max_pixels=max_pixels, reduce=reduce)
    return photo if isinstance(photo, Flaw) else photo.decode(side=side)


def check(image: bytes, *, max_pixels: int, reduce: Reduce) -> UploadedPhoto | Flaw:
    """Return the photo in *image*, or its flaw. Its pixels are decoded only if the end of a JPEG is missing.

    Args:
        image: the file.
        max_pixels: a larger original is not decoded.
        reduce: reduces the decoded picture.

    Raises:
        MemoryError: it does not fit into the worker's memory limit.
    """
    found = recognise(image)
    if isinstance(found, Flaw):
        return found
    return _guarded(lambda: _check(strip_side_data(image, found), max_pixels, reduce))


def _check(file: PictureFile, max_pixels: int, reduce: Reduce) -> UploadedPhoto | Flaw:
    content = file.content
    with _open(content, file.image_format) as opened:
        if opened.width * opened.height > max_pixels:
            return Flaw.TOO_MANY_PIXELS
        if opened.mode == "CMYK" and "adobe" not in opened.info:
            return Flaw.BROKEN  # whether the four colours are CMYK or YCCK, and inverted, is lost
        turn = _UPRIGHT.get(_orientation(file.exif or b""))
        size = opened.size if turn not in _SIDEWAYS else opened.size[::-1]
    if file.unended:
        content = add_end_marker(content)
        if not _has_every_row(content, add_end_marker(file.content, spare=True)):
            return Flaw.BROKEN
    return UploadedPhoto(file.image_format, content, turn, size, reduce)


def _guarded(work: Callable[[], _Answer]) -> _Answer | Flaw:
    try:
        return work()
    except Image.DecompressionBombError:
        return Flaw.TOO_MANY_PIXELS
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow documents no list of what damaged files raise
        return Flaw.BROKEN


def _open(content: bytes, image_format: str) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(content), formats=(image_format,))


def harden() -> None:
    """Set the process-wide limits that decoding relies on. Call after all imports, which may change them."""
    Image.preinit()
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # some packages set it to True for the whole process


def encode(pixels: Pixels) -> bytes:
    """Return *pixels* as a new JPEG, which can contain no EXIF, location, colour profile or comment."""
    height, width, _ = pixels.shape
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), pixels.tobytes()).save(out, "JPEG", quality=_PHOTO_QUALITY)
    return out.getvalue()


def _has_every_row(first: bytes, second: bytes) -> bool:
    """Return whether two copies of a JPEG, with other bytes added at their ends, have equal pixels.

    If so, the decoder has read none of the added bytes: the file has all data of its pixels.
    """
    with _open(first, "JPEG") as one, _open(second, "JPEG") as other:
        return np.array_equal(np.asarray(one), np.asarray(other))


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _orientation(exif: bytes) -> int:
    try:
        found = Image.Exif()
        found.load(exif)
        value = found.get(_ORIENTATION, 1)
        return int(value) if math.isfinite(value) else 1
    except Exception:  # noqa: BLE001 - a good picture may have damaged EXIF
        return 1


def _eight_bit(image: Image.Image) -> Image.Image:
    """Load *image* and return it in a mode that can be resized: L, RGB, RGBA, CMYK and the like."""
    image.load()
    if image.mode.startswith("I"):  # 16-bit grey; convert("L") would clip at 255
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "P":
        return image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode == "1":
        return image.convert("L")
    return image


def _opaque(image: Image.Image) -> Image.Image:
    """Return *image* as RGB; transparent pixels become white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    paper = Image.new("RGBA", layer.size, (*_BACKGROUND, 255))
    return Image.alpha_composite(paper, layer).convert("RGB")
