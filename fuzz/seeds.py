"""Makes the seeds in ``fuzz/corpus``: a small file for each oddity of uploaded pictures.

    .venv/bin/python -m fuzz.seeds

The files are committed, since another version of Pillow may write other bytes.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, PngImagePlugin

CORPUS: Final = Path(__file__).parent / "corpus"
_SOS: Final = b"\xff\xda"
_EOI: Final = b"\xff\xd9"
_BOMB: Final = 9 * 1024 * 1024  # bytes of an inflated chunk


def main() -> None:
    """Write every seed."""
    CORPUS.mkdir(exist_ok=True)
    for name, content in seeds():
        (CORPUS / name).write_bytes(content)


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of every seed."""
    yield from _jpegs()
    yield from _pngs()
    yield from _webps()
    yield "other.gif", _saved(_picture(), "GIF")


def _jpegs() -> Iterator[tuple[str, bytes]]:
    plain = _saved(_picture(), "JPEG")
    yield "plain.jpg", plain
    yield "truncated.jpg", plain[: len(plain) * 2 // 3]
    yield "cmyk.jpg", _saved(_picture().convert("CMYK"), "JPEG")
    exif = Image.Exif()
    exif[0x0112] = 6  # on its side
    exif.get_ifd(0x8825)[1] = "N"  # a location
    yield "exif.jpg", _saved(_picture(), "JPEG", exif=exif, comment=b"a comment")
    yield "exif_damaged.jpg", _saved(_picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    yield "two_pictures.jpg", _saved(_picture(), "MPO", save_all=True, append_images=[_picture()])
    progressive = _saved(_picture().convert("L"), "JPEG", progressive=True)
    yield "progressive.jpg", progressive
    last = progressive[progressive.rindex(_SOS) : -len(_EOI)]
    yield "many_scans.jpg", progressive.removesuffix(_EOI) + 150 * last + _EOI


def _pngs() -> Iterator[tuple[str, bytes]]:
    plain = _saved(_picture(), "PNG")
    yield "plain.png", plain
    yield "truncated.png", plain[: len(plain) // 2]
    yield "palette.png", _saved(_picture().convert("P"), "PNG", transparency=3)
    yield "alpha.png", _saved(_picture().convert("RGBA"), "PNG")
    yield "one_bit.png", _saved(_picture().convert("1"), "PNG")
    grey = np.arange(16 * 12, dtype=np.uint16).reshape(12, 16) * 300
    yield "grey_16.png", _saved(Image.fromarray(grey), "PNG")
    yield "animated.png", _saved(_picture(), "PNG", save_all=True, append_images=[_picture(7)])
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "ordinary", zip=True)
    yield "text.png", _saved(_picture(), "PNG", pnginfo=text)
    zeros = zlib.compress(bytes(_BOMB), 9)
    yield "bomb_ztxt.png", _with_chunk(plain, b"zTXt", b"Comment\0\0" + zeros)
    yield "bomb_iccp.png", _with_chunk(plain, b"iCCP", b"profile\0\0" + zeros)
    yield "bomb_pixels.png", _header_only(60_000, 60_000)


def _webps() -> Iterator[tuple[str, bytes]]:
    plain = _saved(_picture(), "WEBP")
    yield "plain.webp", plain
    yield "truncated.webp", plain[: len(plain) // 2]
    yield "lossless.webp", _saved(_picture().convert("RGBA"), "WEBP", lossless=True, exif=b"Exif\0\0II*\0")
    yield "animated.webp", _saved(_picture(), "WEBP", save_all=True, append_images=[_picture(5), _picture(9)])


def _picture(shift: int = 0) -> Image.Image:
    across, down = np.meshgrid(np.arange(48), np.arange(32))
    layers = [(across * 5 + shift) % 256, (down * 7) % 256, (across * down + shift) % 256]
    return Image.fromarray(np.stack(layers, axis=-1).astype(np.uint8))


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """Insert a chunk between the header and the pixels."""
    at = png.index(b"IDAT") - 4
    return png[:at] + _chunk(kind, content) + png[at:]


def _header_only(width: int, height: int) -> bytes:
    """Return a PNG that announces this size and has almost no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = _chunk(b"IDAT", zlib.compress(bytes(4096), 9))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + pixels + _chunk(b"IEND", b"")


if __name__ == "__main__":
    main()
