"""Recognise the format of a file by its first bytes, never by its name."""

from typing import Final

from app.faces.flaws import Flaw
from app.faces.workers.strip_metadata import ImageFormat

_BRANDS: Final = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), Flaw.HEIC),
    **dict.fromkeys((b"avif", b"avis"), Flaw.AVIF),
}
"""Major brands of ISO base media files (ISO/IEC 23008-12; AV1 Image File Format)."""
_JPEG_XL: Final = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""A bare codestream and a container (ISO/IEC 18181-2)."""
_MAX_BRANDS: Final = 64


def recognise(image: bytes) -> ImageFormat | Flaw:
    """Return the format of *image*, or the flaw of a format that is not decoded."""
    if image.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "WEBP"
    if image.startswith(_JPEG_XL):
        return Flaw.JPEG_XL
    return _recognise_by_brand(image) if image[4:8] == b"ftyp" else Flaw.UNSUPPORTED


def _recognise_by_brand(image: bytes) -> Flaw:
    """Return the flaw by the brands of the file: a general major brand, such as `mif1`, is made precise by others."""
    end = min(int.from_bytes(image[:4]), 16 + 4 * _MAX_BRANDS)
    brands = [image[8:12], *(image[at : at + 4] for at in range(16, end, 4))]
    if _BRANDS.get(brands[0]) is None:
        return Flaw.UNSUPPORTED
    return Flaw.AVIF if any(_BRANDS.get(brand) is Flaw.AVIF for brand in brands) else Flaw.HEIC
