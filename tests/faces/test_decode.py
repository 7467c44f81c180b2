"""Uploaded files are decoded to upright RGB pixels, or refused."""

import io
import os
import re
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps
from PIL.PngImagePlugin import PngInfo

from app.faces.flaws import Flaw
from app.faces.reduce import reduce_with_pillow
from app.faces.workers import decode, strip_metadata

MAX_PIXELS = 25_000_000


@pytest.fixture(autouse=True)
def _hardened() -> None:
    decode.harden()


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


def with_chunk(png: bytes, more: bytes) -> bytes:
    """Return *png* with more chunks after its header."""
    return png[:33] + more + png[33:]


TEXTS = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("count", [1, 20])
def test_a_bomb_in_side_data_is_refused(kind: bytes, count: int) -> None:
    bomb = count * chunk(kind, TEXTS[kind] + zlib.compress(bytes(strip_metadata.MAX_INFLATED_BYTES // count + 1), 9))

    assert decode.decode(with_chunk(saved(corner_marked(), "PNG"), bomb), max_pixels=MAX_PIXELS) is Flaw.BROKEN


@pytest.mark.parametrize("kind", TEXTS)
def test_large_damaged_and_wrong_side_data_is_ignored(kind: bytes) -> None:
    png, noise = saved(corner_marked(), "PNG"), np.random.default_rng(1).bytes(100_000)
    good = chunk(kind, TEXTS[kind] + zlib.compress(noise))

    for side in (
        good,
        chunk(kind, TEXTS[kind] + noise),
        good[:-4] + b"\0\0\0\0",
        chunk(kind, b""),
        chunk(b"eXIf", noise),
    ):
        assert np.array_equal(picture(with_chunk(png, side)).pixels, np.asarray(corner_marked()))


def test_colours_of_a_png_are_not_taken_for_side_data() -> None:
    clear = corner_marked("P")
    clear.info["transparency"] = 0
    png = saved(clear, "PNG", transparency=clear.getpixel((10, 10)))
    at = png.index(b"tRNS") - 4
    end = at + 12 + int.from_bytes(png[at : at + 4])

    assert list(picture(png).pixels[10, 10]) == [255, 255, 255]
    assert is_red(picture(png[: end - 4] + b"\0\0\0\0" + png[end:]).pixels[10, 10]), "a wrong checksum"


def test_a_png_without_its_end_is_taken_and_one_without_pixels_is_not() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    png = saved(Image.fromarray(noise), "PNG")

    for missing in (1, 12, 16):
        assert np.array_equal(picture(png[:-missing]).pixels, noise)
    for missing in (30, 200):
        assert decode.decode(png[:-missing], max_pixels=MAX_PIXELS) is Flaw.BROKEN


def test_a_webp_without_the_end_of_its_side_data_is_taken_and_one_without_pixels_is_not() -> None:
    options = {"exif": b"Exif\0\0II*\0" + bytes(500), "xmp": b"x" * 5000, "icc_profile": b"p" * 100_000}
    webp = saved(corner_marked(), "WEBP", **options)

    assert np.array_equal(picture(webp[:-3000]).pixels, picture(webp).pixels)
    assert np.array_equal(picture(webp + b"junk" * 100).pixels, picture(webp).pixels)
    assert decode.decode(saved(corner_marked(), "WEBP")[:-1], max_pixels=MAX_PIXELS) is Flaw.BROKEN


JPEGS: dict[str, dict[str, object]] = {
    "baseline": {},
    "without subsampling": {"subsampling": 0},
    "progressive": {"progressive": True},
    "restart markers in rows": {"restart_marker_blocks": 3},
    "a restart marker for each row": {"restart_marker_rows": 1},
    "progressive with restart markers": {"progressive": True, "restart_marker_rows": 2},
    "CMYK": {},
    "grey": {},
}


def jpeg(name: str) -> bytes:
    """Return a JPEG of smooth noise."""
    noise = np.random.default_rng(1).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC)
    return saved(image.convert({"CMYK": "CMYK", "grey": "L"}.get(name, "RGB")), "JPEG", **JPEGS[name])


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_without_its_end_marker_is_taken(name: str) -> None:
    whole = jpeg(name)

    for missing in (1, 2):
        assert np.array_equal(picture(whole[:-missing]).pixels, picture(whole).pixels)
    assert np.array_equal(picture(whole[:-2] + b"\xff\xff\xff\xd9").pixels, picture(whole).pixels)


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_that_lacks_rows_is_broken(name: str) -> None:
    whole = jpeg(name)
    markers = [found.start() for found in re.finditer(rb"\xff[\xc4\xd0-\xd7\xda]", whole)]
    cuts = {*range(100, len(whole) - 4, 61), *markers, *(at + 1 for at in markers), *(at + 2 for at in markers)}

    taken = [cut for cut in cuts if decode.decode(whole[:cut], max_pixels=MAX_PIXELS) is not Flaw.BROKEN]

    assert len(cuts) > 20
    assert taken == []


@pytest.mark.parametrize(
    "jpeg",
    [
        b"\xff\xd8\xff" + b"\xff" * 1_000_000,
        b"\xff\xd8" + b"\xff\x01" * 500_000,
        b"\xff\xd8" + b"\xff\xe1\0\2" * 500_000,
        b"\xff\xd8\xff\xda\0\2" + b"\xff\xc4\0\2" * 200_000,
    ],
    ids=["fill bytes", "markers without length", "empty segments", "tables"],
)
def test_a_head_without_a_picture_is_refused_before_pillow_reads_it(
    jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow reads it byte by byte: 12 MB took more than ten seconds."""
    monkeypatch.setattr(Image, "open", None)

    with pytest.raises(strip_metadata.BrokenFileError):
        strip_metadata.strip_side_data(jpeg, "JPEG")
    assert decode.decode(jpeg, max_pixels=MAX_PIXELS) is Flaw.BROKEN


def test_fill_bytes_and_text_between_segments_are_skipped() -> None:
    plain = saved(corner_marked(), "JPEG")
    at = plain.index(b"\xff\xdb")

    padded = plain[:at] + b"text\xff\0\0" + b"\xff" * 1000 + plain[at:]

    assert np.array_equal(picture(padded).pixels, picture(plain).pixels)


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [None, 1, 8])
def test_only_exif_turns_a_picture(form: str, orientation: int | None) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    if orientation:
        exif[0x0112] = orientation
    options: dict[str, object] = {"exif": exif}
    if form == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options["pnginfo"] = text
    else:
        options["xmp"] = XMP

    pixels = picture(saved(corner_marked(), form, **options)).pixels

    assert pixels.shape[:2] == ((200, 100) if orientation == 8 else (100, 200))
    assert is_red(pixels[190 if orientation == 8 else 10, 10])


def test_exif_after_the_pixels_of_a_png_and_exif_as_text_do_not_turn_it() -> None:
    """Browsers have begun to draw by then, and know no EXIF as text."""
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes()
    plain = saved(corner_marked(), "PNG")
    text = PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(raw)}\n{raw.hex()}", zip=True)

    for png in (plain[:-12] + chunk(b"eXIf", raw[6:]) + plain[-12:], saved(corner_marked(), "PNG", pnginfo=text)):
        assert picture(png).pixels.shape == (100, 200, 3)


def adobe(transform: int) -> bytes:
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


def test_four_colours_without_their_kind_are_refused() -> None:
    cmyk = saved(corner_marked("CMYK"), "JPEG")
    marker = cmyk.index(b"\xff\xee")
    unknown = cmyk[:marker] + cmyk[marker + 16 :]

    assert cmyk[marker : marker + 16] == adobe(0)
    assert is_red(picture(cmyk).pixels[10, 10])
    assert decode.decode(unknown, max_pixels=MAX_PIXELS) is Flaw.BROKEN


def test_ycck_is_decoded_by_its_marker() -> None:
    """The first three components are YCbCr of the inverted colours (Adobe TN 5116)."""
    luma = np.asarray(ImageOps.invert(corner_marked()).convert("YCbCr"))
    stored = np.dstack([luma, np.full(luma.shape[:2], 255, np.uint8)])  # Pillow inverts CMYK as it saves and loads
    jpeg = saved(Image.fromarray(255 - stored, "CMYK"), "JPEG", quality=95)
    ycck = jpeg.replace(adobe(0), adobe(2))

    assert is_red(picture(ycck).pixels[10, 10])
    assert np.abs(picture(ycck).pixels[80, 150].astype(int) - 128).max() < 8


FTYP = b"\0\0\0\x1cftyp"


@pytest.mark.parametrize(
    ("image", "flaw", "name"),
    [
        (FTYP + b"heic\0\0\0\0mif1heic" + bytes(99), Flaw.HEIC, "HEIC"),
        (FTYP + b"mif1\0\0\0\0mif1heic" + bytes(99), Flaw.HEIC, "HEIC"),
        (FTYP + b"hevc\0\0\0\0msf1hevc" + bytes(99), Flaw.HEIC, "HEIC"),
        (FTYP + b"avif\0\0\0\0mif1avif" + bytes(99), Flaw.AVIF, "AVIF"),
        (FTYP + b"mif1\0\0\0\0avifmif1" + bytes(99), Flaw.AVIF, "AVIF"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), Flaw.JPEG_XL, "JPEG XL"),
        (b"\xff\x0a" + bytes(99), Flaw.JPEG_XL, "JPEG XL"),
        (FTYP + b"qt  \0\0\0\0qt  " + bytes(99), Flaw.UNSUPPORTED, "JPEG, PNG or WebP"),
        (b"\xff\xff\xff\xffftypheic", Flaw.HEIC, "HEIC"),
        (b"\0\0\0\0ftyp", Flaw.UNSUPPORTED, "JPEG, PNG or WebP"),
    ],
)
def test_the_refusal_of_another_format_names_it(image: bytes, flaw: Flaw, name: str) -> None:
    assert decode.decode(image, max_pixels=MAX_PIXELS) is flaw
    assert name in flaw.detail
    assert "JPEG" in flaw.detail
    assert (flaw.slug, flaw.problem.status) == ("unsupported-image", 415)


def test_a_part_of_a_photo_is_decoded_upright() -> None:
    large = corner_marked().resize((2000, 1000))
    exif = Image.Exif()
    for orientation, corner in {1: (0.0, 0.0), 3: (0.5, 0.5), 6: (0.5, 0.0), 8: (0.0, 0.5)}.items():
        exif[0x0112] = orientation
        photo = decode.check(saved(large, "JPEG", exif=exif), max_pixels=MAX_PIXELS, reduce=reduce_with_pillow)
        assert isinstance(photo, decode.UploadedPhoto)
        left, top = corner
        red = photo.decode(side=400, region=(left, top, left + 0.5, top + 0.5))
        assert isinstance(red, decode.Picture)

        assert photo.size == ((2000, 1000) if orientation in {1, 3} else (1000, 2000))
        assert max(red.pixels.shape) == 400
        assert red.reduction == 2.5
        assert is_red(red.pixels[10, 10])
        assert is_red(red.pixels[-10, -10])


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
