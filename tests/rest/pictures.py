"""Test pictures, made when the tests run: unusual but good, broken, and hostile."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from PIL import Image, ImageOps

IMAGES = Path(__file__).parents[1] / "images"
ORIENTATION, THUMBNAIL, LENGTH = 0x0112, 0x0201, 0x0202
"""EXIF tags (CIPA DC-008): the orientation; the place of the thumbnail, and its size in bytes."""
Make = Callable[[], bytes]
"""Makes one picture. Collecting tests makes none."""
BOMB_BYTES = 100 * 1024 * 1024
"""Size of an inflated chunk."""


def face(name: str = "amateur_selfie", person: str = "P001") -> bytes:
    """Return a good photo of one of the synthetic people."""
    return (IMAGES / "people" / person / f"{name}.jpg").read_bytes()


def awkward(name: str) -> bytes:
    """Return a file of `tests/images/awkward`."""
    return (IMAGES / "awkward" / name).read_bytes()


def saved(picture: Image.Image, form: str, **how: object) -> bytes:
    """Return *picture* as a file."""
    out = io.BytesIO()
    picture.save(out, form, **how)
    return out.getvalue()


def opened() -> Image.Image:
    """Return the good photo's pixels."""
    return Image.open(io.BytesIO(face())).convert("RGB")


def small() -> Image.Image:
    """Return the pixels of a smaller copy, for formats without compression."""
    picture = opened()
    picture.thumbnail((420, 420))
    return picture


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(kind: bytes, content: bytes) -> bytes:
    """Return the good photo as PNG, with one more chunk after its header."""
    picture, head = saved(small(), "PNG"), 33
    return picture[:head] + _chunk(kind, content) + picture[head:]


def with_segments(count: int, marker: bytes, content: bytes) -> bytes:
    """Return the good JPEG with *count* more segments at its beginning."""
    segment = b"\xff" + marker + struct.pack(">H", len(content) + 2) + content
    return face()[:2] + segment * count + face()[2:]


def exif_with_thumbnail() -> bytes:
    """Return an EXIF block with a small copy of the picture in it."""
    tiny = opened()
    tiny.thumbnail((64, 64))
    copy = saved(tiny, "JPEG")
    head = b"II*\0\x08\0\0\0" + struct.pack("<HI", 0, 14)  # an empty first directory, then the copy's
    entries = [(0x0103, 3, 1, 6), (THUMBNAIL, 4, 1, 14 + 2 + 3 * 12 + 4), (LENGTH, 4, 1, len(copy))]
    directory = struct.pack("<H", 3) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"Exif\0\0" + head + directory + copy


def zip_file() -> bytes:
    """Return an archive with a script in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("payload.js", "alert(1)")
    return out.getvalue()


def turned(*, told: bool) -> bytes:
    """Return the photo turned on its side, with or without the EXIF tag that a phone adds."""
    exif = Image.Exif()
    if told:
        exif[ORIENTATION] = 6
    return saved(opened().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=92)


def of_a_phone() -> bytes:
    """Return a photo of 12 megapixels with the metadata of a phone."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x010F], exif[0x0110] = 1, "Maker", "Model"
    exif.get_ifd(0x8825)[1] = "N"
    picture = ImageOps.fit(opened(), (3024, 4032), Image.Resampling.BICUBIC)
    return saved(picture, "JPEG", quality=92, exif=exif)


def blank(size: tuple[int, int], mode: str = "1") -> bytes:
    """Return an empty PNG, a small file with many pixels."""
    return saved(Image.new(mode, size), "PNG", optimize=True)


@cache
def bomb() -> bytes:
    """Return data that inflates to a thousand times its size."""
    return zlib.compress(bytes(BOMB_BYTES), 9)


def cut(form: str, length: int) -> bytes:
    """Return the first *length* bytes of the photo; a negative length counts from the end."""
    return saved(opened(), form, quality=92)[:length]


def damaged_png(at: int, by: bytes) -> bytes:
    """Return the photo as PNG with other bytes at one place."""
    picture = saved(small(), "PNG")
    return picture[:at] + by + picture[at + len(by) :]


def several(form: str) -> bytes:
    """Return the photo with three more after it, in one file."""
    one = small()
    return saved(one, form, save_all=True, append_images=[one.transpose(Image.Transpose.FLIP_LEFT_RIGHT)] * 3)


def of_16_bits() -> bytes:
    """Return the photo in grey, as a scanner saves it."""
    grey = small().convert("L").convert("I").point(lambda level: level * 257)
    return saved(grey.convert("I;16"), "PNG")


GOOD: dict[str, Make] = {
    "JPEG on its side": partial(turned, told=False),
    "a phone's twelve megapixels": of_a_phone,
    "progressive JPEG": lambda: saved(opened(), "JPEG", progressive=True, quality=90),
    "CMYK JPEG": lambda: saved(opened().convert("CMYK"), "JPEG", quality=92),
    "grey JPEG": lambda: saved(opened().convert("L"), "JPEG", quality=92),
    "two pictures in one JPEG": lambda: saved(opened(), "MPO", save_all=True, append_images=[small()]),
    "JPEG told to be turned": partial(turned, told=True),
    "JPEG with a hundred thumbnails": lambda: with_segments(100, b"\xe1", exif_with_thumbnail()),
    "JPEG with a thousand comments": lambda: with_segments(1000, b"\xfe", b"canary"),
    "JPEG with damaged EXIF": lambda: with_segments(1, b"\xe1", b"Exif\0\0II*\0\xff\xff\xff\xff"),
    "JPEG that is a ZIP too": lambda: face() + zip_file(),
    "PNG with a page after it": lambda: saved(small(), "PNG") + b"<html><script>alert(1)</script></html>",
    "PNG with alpha": lambda: saved(small().convert("RGBA"), "PNG"),
    "grey PNG with alpha": lambda: saved(small().convert("LA"), "PNG"),
    "PNG of 16 bits": of_16_bits,
    "PNG with a palette": lambda: saved(small().quantize(256), "PNG"),
    "animated PNG": partial(several, "PNG"),
    "WebP": lambda: saved(small(), "WEBP", quality=92),
    "animated WebP": partial(several, "WEBP"),
}
"""Unusual pictures in which the face is found."""

BROKEN: dict[str, Make] = {
    **{f"JPEG, {length} bytes of it": partial(cut, "JPEG", length) for length in (3, 200, -20_000, -100)},
    **{f"PNG, {length} bytes of it": partial(cut, "PNG", length) for length in (8, 2000, -20_000)},
    **{f"WebP, {length} bytes of it": partial(cut, "WEBP", length) for length in (12, -20_000)},
    "JPEG of zeros": lambda: b"\xff\xd8\xff" + bytes(10_000),
    "PNG with a wrong checksum": partial(damaged_png, 29, b"\0\0\0\0"),
    "PNG that says 4 billion by 4 billion": partial(damaged_png, 16, b"\xff" * 8),
    "bomb of 400 megapixels": partial(blank, (20_000, 20_000)),
    "bomb in zTXt": lambda: with_chunk(b"zTXt", b"Comment\0\0" + bomb()),
    "bomb in iTXt": lambda: with_chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb()),
    "bomb in iCCP": lambda: with_chunk(b"iCCP", b"profile\0\0" + bomb()),
}
"""Files that begin like a picture, but cannot or must not be decoded."""

OTHER: dict[str, Make] = {
    "nothing": lambda: b"",
    "one byte": lambda: b"\xff",
    "text": lambda: b"this is no picture",
    "zeros": lambda: bytes(100_000),
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:etc/passwd"/></svg>',
    "page": lambda: b"<!doctype html><script>alert(1)</script>",
    "PDF": lambda: b"%PDF-1.7\n",
    "HEIC": lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(1000),
    "AVIF": lambda: b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(1000),
    "GIF": lambda: saved(small().quantize(64), "GIF"),
    "BMP": lambda: saved(small(), "BMP"),
    "TIFF": lambda: saved(small(), "TIFF"),
    "GIF's head before a JPEG": lambda: b"GIF89a" + face(),
    "space before a JPEG": lambda: b" " + face(),
    "ZIP before a JPEG": lambda: zip_file() + face(),
    "RIFF that is no WebP": lambda: b"RIFF\0\0\0\0AVI " + bytes(100),
}
"""Files of another type, named as pictures."""

NO_FACE: dict[str, Make] = {
    "one pixel": partial(blank, (1, 1), "RGB"),
    "a line": partial(blank, (20_000, 1), "RGB"),
    "a column": partial(blank, (1, 20_000), "L"),
    "25 megapixels of nothing": partial(blank, (5_000, 5_000)),
}
"""Good pictures in which no face can be found."""
