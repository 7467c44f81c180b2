"""Decode untrusted bytes to upright RGB pixels, in the worker only.

The first bytes decide the format, never a file name or a header of the request. Colour profiles are not applied. Of an
animation or a multi-picture file, only the first frame is decoded.
"""

import io
import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin

from app.faces.engine import PHOTO_SIDE, Pixels
from app.faces.flaws import Flaw

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
MAX_SCANS: Final = 50
"""Scans of one JPEG. A progressive one has about ten; each scan of 42 bytes costs 14 ms at 25 megapixels."""
_MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A JPEG marker (ITU-T T.81, B.1.1.3), except stuffed, restart and fill bytes."""
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9
_WITHOUT_LENGTH: Final = frozenset({0x01, 0xD8})
PLUGINS: Final = (JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin)
"""Imported before the sandbox closes: Pillow would import MPO, the JPEG of some phones, at first use."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded photo."""

    pixels: Pixels
    """Upright; the longer side at most the requested one."""
    reduction: float
    """Pixels of the original per pixel of ``pixels``, 1 or more."""


def decode(image: bytes, *, max_pixels: int, side: int = PHOTO_SIDE) -> Picture | Flaw:
    """Return the picture in *image*, or its flaw.

    Args:
        image: the file.
        max_pixels: a larger original is not decoded.
        side: maximum of the longer side, in pixels. A large JPEG is decoded faster at a smaller side.

    Raises:
        MemoryError: it does not fit into the worker's memory limit.
    """
    image_format = _format(image)
    if image_format is None:
        return Flaw.UNSUPPORTED
    if image_format == "JPEG" and _count_scans(image) > MAX_SCANS:
        return Flaw.BROKEN
    try:
        with Image.open(io.BytesIO(image), formats=(image_format,)) as opened:
            if opened.width * opened.height > max_pixels:
                return Flaw.TOO_MANY_PIXELS
            return _picture(opened, side)
    except Image.DecompressionBombError:
        return Flaw.TOO_MANY_PIXELS
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow documents no list of what damaged files raise
        return Flaw.BROKEN


def _count_scans(jpeg: bytes) -> int:
    """Count the scans of the first picture without decoding it."""
    count, at = 0, 2
    while found := _MARKER.search(jpeg, at):
        at, kind = found.end(), jpeg[found.end() - 1]
        if kind == _END_OF_IMAGE:
            break
        if kind in _WITHOUT_LENGTH:
            continue
        count += kind == _START_OF_SCAN
        at += int.from_bytes(jpeg[at : at + 2])
    return count


def harden() -> None:
    """Set the process-wide limits that decoding relies on. Call after all imports, which may change them."""
    Image.preinit()
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # some packages set it to True for the whole process
    PngImagePlugin.MAX_TEXT_CHUNK = 64 * 1024  # bytes of one zTXt, iTXt or iCCP chunk after inflation
    PngImagePlugin.MAX_TEXT_MEMORY = 256 * 1024


def encode(pixels: Pixels) -> bytes:
    """Return *pixels* as a new JPEG, which can contain no EXIF, location, colour profile or comment."""
    height, width, _ = pixels.shape
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), pixels.tobytes()).save(out, "JPEG", quality=_PHOTO_QUALITY)
    return out.getvalue()


def _format(image: bytes) -> str | None:
    if image.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "WEBP"
    return None


def _picture(opened: ImageFile.ImageFile, side: int) -> Picture:
    original = max(opened.size)
    size = _fit(opened.size, side)
    turn = _UPRIGHT.get(_orientation(opened))
    opened.draft(None, size)  # a large JPEG is decoded at 1/2, 1/4 or 1/8, never below `size`
    opened.load()
    image = _eight_bit(opened)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    if turn is not None:
        image = image.transpose(turn)
    return Picture(np.asarray(_opaque(image)), original / max(size))


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
        return int(value) if math.isfinite(value) else 1
    except Exception:  # noqa: BLE001 - a good picture may have damaged EXIF
        return 1


def _eight_bit(image: Image.Image) -> Image.Image:
    """Return *image* in a mode that can be resized: L, RGB, RGBA, CMYK and the like."""
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
