"""Copy a picture file without the parts that carry no pixels: profiles, texts, thumbnails and further pictures.

Browsers ignore a damaged or oversized part of this kind, and decoders spend memory and time on it. The orientation is
read from EXIF alone, as browsers do. The work is bounded by the number of parts, never by their contents.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

ImageFormat: TypeAlias = Literal["JPEG", "PNG", "WEBP"]
MAX_PARTS: Final = 20_000
"""Segments of a JPEG before its pixels, or chunks of another file. Photos have at most some thousand."""
MAX_UNPARTED_BYTES: Final = 64 * 1024
"""Bytes of a JPEG before its first scan that are in no segment. Almost every photo has none."""
MAX_FILL_BYTES: Final = 1024
"""Successive fill bytes after the first scan began. A decoder that gets the file in pieces reads them many times."""
MAX_MARKERS: Final = 5_000
"""Markers of a JPEG after its first scan began, restart markers left out."""
MAX_SCANS: Final = 50
"""Scans of one JPEG. A progressive one has about ten; each scan of 42 bytes costs 14 ms at 25 megapixels."""
MAX_EXIF_BYTES: Final = 64 * 1024
"""EXIF in a JPEG is never longer, and the orientation is near its beginning."""
MAX_INFLATED_BYTES: Final = 8 * 1024 * 1024
"""Of all compressed side data of a PNG. Such data is not used, but a file with more is built to exhaust memory."""

_MARKER: Final = b"\xff\x01"
"""A JPEG marker (ITU-T T.81, B.1.1.3) after translation with `_KINDS`."""
_KINDS: Final = b"\0" + 0xCF * b"\1" + 8 * b"\0" + 0x27 * b"\1" + b"\xff"
"""Turns each byte that makes a marker after 0xFF into 0x01; stuffed, restart and fill bytes make none. To translate and
then to search takes some milliseconds for any file; a regular expression takes a step for each byte."""
_SOI, _EOI, _SOS, _TEM, _COM, _APP0, _APP1, _APP14, _APP15 = 0xD8, 0xD9, 0xDA, 0x01, 0xFE, 0xE0, 0xE1, 0xEE, 0xEF
_RST0: Final = 0xD0
_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_COEFFICIENTS: Final = 64  # of a block
_SPARE: Final = bytes.fromhex("a55a3cc396694db2") * 8
_WITHOUT_LENGTH: Final = frozenset({_TEM, _SOI})
_LENGTH_BYTES: Final = 2
_FILL: Final = b"\xff" * (MAX_FILL_BYTES + 1)
_INFLATE_STEP: Final = 1024 * 1024
_PNG_HEAD: Final = 8
_COMPRESSED: Final = {
    b"iCCP": re.compile(rb"[^\0]*\0\0"),
    b"zTXt": re.compile(rb"[^\0]*\0\0"),
    b"iTXt": re.compile(rb"[^\0]*\0\x01\0[^\0]*\0[^\0]*\0"),
}
"""The text before the compressed data in a chunk of a PNG."""
_WEBP_PIXELS: Final = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"})


class BrokenFileError(Exception):
    """The file does not follow its format, or has too many parts."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """The parts of an uploaded file that decide its pixels."""

    image_format: ImageFormat
    content: bytes
    exif: bytes | None = None
    unended: bool = False
    """The end marker of a JPEG is missing, so pixels may be missing too. ``content`` has none."""


def strip_side_data(image: bytes, image_format: ImageFormat) -> PictureFile:
    """Return the parts of *image* that decide its pixels. Of several pictures, only the first is kept.

    Raises:
        BrokenFileError: the file cannot be read to its pixels.
    """
    match image_format:
        case "JPEG":
            return _strip_jpeg(image)
        case "PNG":
            return _strip_png(image)
        case "WEBP":
            return _strip_webp(image)


def add_end_marker(jpeg: bytes, *, spare: bool = False) -> bytes:
    """Return *jpeg* with an end marker, and on request with data for more pixels before it.

    A decoder that lacks data reads the added bytes, also after each restart marker; otherwise it ignores them.
    """
    jpeg = jpeg.rstrip(b"\xff")
    if spare:
        last = max(range(8), key=lambda number: jpeg.rfind(bytes((0xFF, _RST0 + number))))
        jpeg += _SPARE + b"".join(bytes((0xFF, _RST0 + (last + 1 + step) % 8)) + _SPARE for step in range(8))
    return jpeg + bytes((0xFF, _EOI))


def _strip_jpeg(jpeg: bytes) -> PictureFile:
    kept, exif, components = [jpeg[:2]], None, 0
    for kind, begin, end in _markers(jpeg, at=2, limit=MAX_PARTS, unparted=MAX_UNPARTED_BYTES):
        if kind == _SOS:
            scans_end = _find_end(jpeg, begin, components)
            scans = jpeg[begin:scans_end]
            if _FILL in (scans.rstrip(b"\xff") if scans_end is None else scans):
                break
            return PictureFile("JPEG", b"".join((*kept, scans)), exif, unended=scans_end is None)
        if kind == _EOI:
            break
        if kind in _FRAME_HEADERS:
            components = int.from_bytes(jpeg[begin + 9 : begin + 10])
        if kind == _APP1 and exif is None and jpeg.startswith(b"Exif\0", begin + 4):
            exif = jpeg[begin + 4 : end]
        if not (_APP0 < kind <= _APP15 or kind == _COM) or kind == _APP14:  # JFIF and Adobe say what the colours mean
            kept.append(jpeg[begin:end])
    raise BrokenFileError


def _find_end(jpeg: bytes, at: int, components: int) -> int | None:
    """Return the end of the first picture, whose scans begin at *at*; None if it has no end marker.

    Raises:
        BrokenFileError: there are too many scans, or neither an end marker nor all scans.
    """
    scans, exact = 0, set[tuple[int, int]]()
    for kind, begin, end in _markers(jpeg, at=at, limit=MAX_MARKERS):
        if kind == _EOI:
            return end
        if kind == _SOS:
            scans += 1
            exact |= _exact_coefficients(jpeg[begin:end])
        if scans > MAX_SCANS:
            raise BrokenFileError
    if len(exact) < components * _COEFFICIENTS:
        raise BrokenFileError
    return None


def _exact_coefficients(scan_header: bytes) -> set[tuple[int, int]]:
    """Return the coefficients, each with its component, that a scan gives to their last bit (ITU-T T.81, B.2.3)."""
    count = int.from_bytes(scan_header[4:5])
    first, last, bits = (*scan_header[5 + 2 * count : 8 + 2 * count], 0, 0, 1)[:3]
    if bits & 0x0F:
        return set()
    return {(one, number) for one in scan_header[5 : 5 + 2 * count : 2] for number in range(first, min(last, 63) + 1)}


def _markers(jpeg: bytes, *, at: int, limit: int, unparted: int | None = None) -> Iterator[tuple[int, int, int]]:
    """Yield the kind, the beginning and the end of each marker's segment. Bytes between segments are skipped.

    Args:
        jpeg: the file.
        at: where to begin.
        limit: the most markers.
        unparted: the most bytes between segments, all together; None for the data of scans.

    Raises:
        BrokenFileError: the file has more markers. Before the scans also a segment that is shorter than its own length
            field, or longer than the file: a decoder would find other segments than this function.
    """
    kinds = jpeg.translate(_KINDS)
    for _ in range(limit):
        begin = kinds.find(_MARKER, at, None if unparted is None else at + unparted + len(_MARKER))
        if begin < 0:
            return
        if unparted is not None:
            unparted -= begin - at
        at, kind = begin + len(_MARKER), jpeg[begin + 1]
        if kind in _WITHOUT_LENGTH:
            continue
        if kind != _EOI:
            length = int.from_bytes(jpeg[at : at + _LENGTH_BYTES])
            at += length
            if unparted is not None and (length < _LENGTH_BYTES or at > len(jpeg)):
                raise BrokenFileError
        yield kind, begin, at
    raise BrokenFileError


def _strip_png(png: bytes) -> PictureFile:
    kept, exif, pixels, inflated = [png[:_PNG_HEAD]], None, False, 0
    for kind, begin, end in _chunks(png, at=_PNG_HEAD, order="big"):
        pixels = pixels or kind == b"IDAT"
        if (head := _COMPRESSED.get(kind)) and (found := head.match(png, begin + 8, end)):
            inflated += _inflated_bytes(png[found.end() : end], MAX_INFLATED_BYTES + 1 - inflated)
        if inflated > MAX_INFLATED_BYTES:
            raise BrokenFileError
        if kind == b"eXIf" and not pixels:  # later ones are ignored: a browser has begun to draw
            exif = png[begin + 8 : end][:MAX_EXIF_BYTES]
        # An upper case letter marks a chunk without which the pixels cannot be decoded (PNG, 5.4).
        if kind[:1].isupper() or (kind == b"tRNS" and _crc_holds(png, begin, end)):
            kept.append(png[begin : end + 4])
        if kind == b"IEND":
            break
    return PictureFile("PNG", b"".join(kept), exif)


def _inflated_bytes(data: bytes, limit: int) -> int:
    """Return the size of *data* after inflation, up to about *limit*. Damaged data counts to the step that fails."""
    inflater, count = zlib.decompressobj(), 0
    while data and count < limit:
        try:
            count += len(inflater.decompress(data, _INFLATE_STEP))
        except zlib.error:  # browsers ignore damaged side data
            return count + _INFLATE_STEP
        data = inflater.unconsumed_tail
    return count


def _crc_holds(png: bytes, begin: int, end: int) -> bool:
    return zlib.crc32(png[begin + 4 : end]).to_bytes(4) == png[end : end + 4]


def _strip_webp(webp: bytes) -> PictureFile:
    kept, exif = [b"WEBP"], None
    webp = webp[: 8 + int.from_bytes(webp[4:8], "little")]
    for kind, begin, end in _chunks(webp, at=12, order="little"):
        if kind == b"EXIF" and exif is None:
            exif = webp[begin + 8 : end][:MAX_EXIF_BYTES]
        if kind in _WEBP_PIXELS:
            kept.append(webp[begin : end + (end & 1)])
    body = b"".join(kept)
    return PictureFile("WEBP", b"RIFF" + len(body).to_bytes(4, "little") + body, exif)


def _chunks(image: bytes, *, at: int, order: Literal["big", "little"]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, the beginning and the end of the content of each chunk of a PNG (big) or WebP (little)."""
    for _ in range(MAX_PARTS):
        if at + 8 > len(image):
            return
        if order == "big":
            size, kind, after = image[at : at + 4], image[at + 4 : at + 8], 4
        else:
            kind, size, after = image[at : at + 4], image[at + 4 : at + 8], 0
        end = at + 8 + int.from_bytes(size, order)
        yield kind, at, end
        at = end + after + (0 if after else end & 1)
    raise BrokenFileError
