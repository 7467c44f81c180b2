"""Uploaded files are decoded to upright RGB pixels, or refused."""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from app.faces.flaws import Flaw
from app.faces.workers import decode

MAX_PIXELS = 25_000_000


@pytest.fixture(autouse=True)
def _hardened() -> Iterator[None]:
    limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    decode.harden()
    yield
    PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = limits


def picture(image: bytes) -> decode.Picture:
    decoded = decode.decode(image, max_pixels=MAX_PIXELS)
    assert isinstance(decoded, decode.Picture)
    return decoded


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def corner_marked(mode: str = "RGB") -> Image.Image:
    """Return a grey picture, 200 by 100, whose top left quarter is red."""
    image = Image.new("RGB", (200, 100), (128, 128, 128))
    image.paste((220, 30, 30), (0, 0, 100, 50))
    return image.convert(mode)


def is_red(pixel: np.ndarray) -> bool:
    return bool(pixel[0] > 180 and pixel[1] < 80 and pixel[2] < 80)


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded() -> None:
    plain = saved(Image.new("L", (600, 600), 77), "JPEG", quality=30, progressive=True)
    scan = plain[plain.rfind(b"\xff\xda") : -2]

    assert decode.decode(plain[:-2] + 2000 * scan + plain[-2:], max_pixels=MAX_PIXELS) is Flaw.BROKEN
    assert picture(plain[:-2] + 5 * scan + plain[-2:]).pixels.shape == (600, 600, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_the_three_formats_are_decoded(form: str) -> None:
    pixels = picture(saved(corner_marked(), form)).pixels

    assert pixels.shape == (100, 200, 3)
    assert is_red(pixels[10, 10])
    assert not is_red(pixels[80, 150])


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_other_formats_are_not_opened(form: str) -> None:
    assert decode.decode(saved(corner_marked(), form), max_pixels=MAX_PIXELS) is Flaw.UNSUPPORTED


@pytest.mark.parametrize("image", [b"", b"\xff", b"RIFF....WAVE", b"<svg/>", b"\x89PNG"])
def test_other_bytes_are_unsupported(image: bytes) -> None:
    assert decode.decode(image, max_pixels=MAX_PIXELS) is Flaw.UNSUPPORTED


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_broken(form: str, kept: float) -> None:
    rng = np.random.default_rng(1)
    whole = saved(Image.fromarray(rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)), form)

    assert decode.decode(whole[: int(len(whole) * kept)], max_pixels=MAX_PIXELS) is Flaw.BROKEN


def test_truncated_pictures_are_broken_even_if_a_library_made_pillow_accept_them(image: Callable[[str], bytes]) -> None:
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    decode.harden()

    assert decode.decode(image("awkward/broken_truncated.jpg"), max_pixels=MAX_PIXELS) is Flaw.BROKEN


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_before_decoding(image: Callable[[str], bytes]) -> None:
    bomb = image("awkward/huge_144MP_1bit.png")

    assert decode.decode(bomb, max_pixels=MAX_PIXELS) is Flaw.TOO_MANY_PIXELS
    assert decode.decode(saved(Image.new("L", (101, 100)), "PNG"), max_pixels=10_000) is Flaw.TOO_MANY_PIXELS


def test_a_large_photo_is_reduced_and_the_reduction_is_returned() -> None:
    large = saved(Image.new("RGB", (4000, 3000), (90, 120, 150)), "JPEG")
    decoded = picture(large)

    assert decoded.pixels.shape == (960, 1280, 3)
    assert decoded.reduction == pytest.approx(4000 / 1280)


def test_a_photo_is_reduced_to_the_requested_side() -> None:
    decoded = decode.decode(saved(corner_marked().resize((2000, 1000)), "JPEG"), max_pixels=MAX_PIXELS, side=640)
    assert isinstance(decoded, decode.Picture)

    assert decoded.pixels.shape == (320, 640, 3)
    assert decoded.reduction == pytest.approx(2000 / 640)
    assert is_red(decoded.pixels[150, 310])
    assert not is_red(decoded.pixels[170, 330])


def test_a_small_photo_is_not_resized() -> None:
    decoded = picture(saved(corner_marked(), "PNG"))

    assert (decoded.pixels.shape, decoded.reduction) == ((100, 200, 3), 1.0)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_a_picture_of_any_shape_has_pixels(size: tuple[int, int]) -> None:
    assert min(picture(saved(Image.new("RGB", size), "PNG")).pixels.shape) >= 1


@pytest.mark.parametrize(
    ("orientation", "red_at"),
    [(1, (0, 0)), (2, (0, 1)), (3, (1, 1)), (4, (1, 0)), (5, (0, 0)), (6, (0, 1)), (7, (1, 1)), (8, (1, 0))],
)
def test_every_exif_orientation_is_set_upright(orientation: int, red_at: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = picture(saved(corner_marked(), "JPEG", exif=exif)).pixels
    height, width, _ = pixels.shape
    row, column = (height * 3 // 4 if red_at[0] else height // 4), (width * 3 // 4 if red_at[1] else width // 4)

    assert (height > width) is (orientation >= 5)
    assert is_red(pixels[row, column])


def test_a_large_photo_on_its_side_is_set_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large = corner_marked().resize((3000, 1500))

    assert picture(saved(large, "JPEG", exif=exif)).pixels.shape == (1280, 640, 3)


@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning")
def test_damaged_exif_does_not_spoil_a_good_photo() -> None:
    assert is_red(picture(saved(corner_marked(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).pixels[10, 10])


@pytest.mark.parametrize(("mode", "form"), [("L", "PNG"), ("1", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("CMYK", "JPEG")])
def test_every_mode_becomes_rgb(mode: str, form: str) -> None:
    pixels = picture(saved(corner_marked("LA" if mode == "LA" else mode), form)).pixels

    assert pixels.shape == (100, 200, 3)


def test_cmyk_keeps_its_colours() -> None:
    assert is_red(picture(saved(corner_marked("CMYK"), "JPEG")).pixels[10, 10])


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.tile(np.linspace(0, 65535, 256, dtype=np.uint16), (50, 1))
    pixels = picture(saved(Image.fromarray(ramp), "PNG")).pixels

    assert np.abs(pixels[25, :, 0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(mode: str) -> None:
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    image = clear.convert("LA") if mode == "LA" else clear
    options = {"transparency": 0} if mode == "P" else {}
    encoded = saved(Image.new("P", (40, 40), 0) if mode == "P" else image, "PNG", **options)

    assert picture(encoded).pixels.min() == 255


@pytest.mark.parametrize("form", ["WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_decoded(form: str) -> None:
    later = Image.new("RGB", (200, 100), (0, 0, 255))
    moving = saved(corner_marked(), form, save_all=True, append_images=[later])

    assert is_red(picture(moving).pixels[10, 10])


def test_the_first_picture_of_a_multi_picture_file_is_decoded() -> None:
    pair = saved(corner_marked(), "MPO", save_all=True, append_images=[Image.new("RGB", (50, 50))])

    assert pair.startswith(b"\xff\xd8\xff")
    assert is_red(picture(pair).pixels[10, 10])


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    "bomb",
    [
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000), 9)),
        chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(50_000_000), 9)),
        chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000), 9)),
        b"".join(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(60_000), 9)) for _ in range(20)),
    ],
    ids=["zTXt", "iTXt", "iCCP", "many"],
)
def test_a_bomb_in_a_text_chunk_is_bounded(bomb: bytes) -> None:
    png = saved(corner_marked(), "PNG")
    header = 8 + 25
    decoded = decode.decode(png[:header] + bomb + png[header:], max_pixels=MAX_PIXELS)

    assert decoded is Flaw.BROKEN or isinstance(decoded, decode.Picture)
    if isinstance(decoded, decode.Picture):
        assert is_red(decoded.pixels[10, 10])


def test_a_kept_photo_has_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRET-MAKE"
    exif.get_ifd(0x8825)[29] = "SECRET-DATE"
    options = {"exif": exif, "comment": b"SECRET-COMMENT", "icc_profile": b"SECRET-PROFILE" * 20, "xmp": b"SECRET-XMP"}
    original = saved(corner_marked(), "JPEG", **options)
    kept = decode.encode(picture(original).pixels)

    assert original.count(b"SECRET") > 4
    assert b"SECRET" not in kept
    assert Image.open(io.BytesIO(kept)).info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=20)), max_size=4)


@settings(max_examples=100, deadline=None)
@given(form=st.sampled_from(["JPEG", "PNG", "WEBP"]), cuts=DAMAGE)
def test_a_damaged_picture_raises_no_error(form: str, cuts: list[tuple[float, bytes]]) -> None:
    damaged = bytearray(saved(corner_marked(), form))
    for place, noise in cuts:
        at = int(place * len(damaged))
        damaged[at : at + len(noise)] = noise

    assert isinstance(decode.decode(bytes(damaged), max_pixels=1_000_000), decode.Picture | Flaw)


def test_a_photo_over_a_megabyte_is_decoded() -> None:
    noise = np.frombuffer(os.urandom(700 * 700 * 3), dtype=np.uint8).reshape(700, 700, 3)
    large = saved(Image.fromarray(noise), "PNG")

    assert len(large) > 1 << 20
    assert picture(large).pixels.shape == (700, 700, 3)
