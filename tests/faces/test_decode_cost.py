"""The processor time of a file of full size, as a multiple of one plain pass over its bytes on the same machine."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from app.faces.flaws import Flaw
from app.faces.workers import decode
from fuzz import full_size, rule, seeds

PLAIN_PASSES = 60
"""The most that a file may cost. Its own passes and a decoded small picture take up to 25; the worst input took 800."""
TABLE = bytes(reversed(range(256)))


def saved(form: str, **options: object) -> bytes:
    """Return a picture of 64 x 48 pixels that no encoder makes small."""
    noise = np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, form, **options)
    return out.getvalue()


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


JPEG, PNG, WEBP = saved("JPEG"), saved("PNG"), saved("WEBP")
SCAN, PIXELS = JPEG.index(b"\xff\xda"), PNG.index(b"IDAT") - 4
AFTER_APP0 = 4 + int.from_bytes(JPEG[4:6])
SHORT_SEGMENT = b"\xff\xd8\xff\xe0\x00\x00" + JPEG[2:-2]
"""A decoder takes the next segment for the content of the one without length, and reads the scan byte by byte."""
IN_HEAD = (
    b"\xff",
    b"\0",
    b"\xff\0",
    b"\xff\xd0",
    b"\xff\xd8",
    b"\xff\x01",
    b"\xff\xe0\0\2",
    b"\xff\xe1\0\0",
    b"\xff\xdb\0\2",
)
IN_SCAN = (b"\xff", b"\0", b"\xff\0", b"\xff\xd0", b"\xff\xfe\0\2", b"\xff\xff\xd0")
EMPTY_TEXT = chunk(b"zTXt", b"a\0\0" + zlib.compress(b""))
CHUNKS = (chunk(b"aaAa"), chunk(b"IDAT"), chunk(b"tRNS"), chunk(b"zTXt", b"a"), EMPTY_TEXT, chunk(b"eXIf", b"II*\0"))
PARTS = tuple(kind + bytes(4) for kind in (b"EXIF", b"ALPH", b"VP8X", b"ANMF", b"XMP ", b"none"))
INPUTS = {
    "0xff": (b"\xff\xd8\xff", 3, b"\xff"),
    "segment without length": (SHORT_SEGMENT, len(SHORT_SEGMENT), b"\xff"),
    **{f"JPEG head {unit.hex()}": (JPEG, 2, unit) for unit in IN_HEAD},
    **{f"JPEG scan {unit.hex()}": (JPEG, len(JPEG) - 2, unit) for unit in IN_SCAN},
    **{f"PNG {unit[4:8].decode()} {len(unit)}": (PNG, PIXELS, unit) for unit in CHUNKS},
    **{f"WebP {unit[:4].decode()}": (WEBP, 12, unit) for unit in PARTS},
}
"""A file, a place in it, and the bytes that are repeated there."""


@pytest.fixture(autouse=True)
def _hardened() -> None:
    decode.harden()


def plain_pass_s() -> float:
    """Return the processor time of one pass over a file of full size: the least of five."""
    photo = bytes(full_size.FULL_BYTES)
    times = []
    for _ in range(5):
        began = time.process_time()
        photo.translate(TABLE)
        times.append(time.process_time() - began)
    return min(times)


def passes(image: bytes) -> float:
    """Return the processor time of decoding *image* in plain passes; the rule of the fuzzer holds too."""
    began = time.process_time()
    rule.check(image)
    return (time.process_time() - began) / plain_pass_s()


@pytest.mark.parametrize(("file", "at", "unit"), INPUTS.values(), ids=INPUTS)
def test_hostile_file_of_full_size_costs_some_plain_passes(file: bytes, at: int, unit: bytes) -> None:
    assert passes(full_size.repeat(file, at, unit)) < PLAIN_PASSES


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([name for name, _ in seeds.seeds()]), st.integers(0, 4000), st.integers(1, 32))
def test_any_part_of_a_seed_repeated_to_full_size_costs_some_plain_passes(name: str, at: int, length: int) -> None:
    seed = (seeds.CORPUS / name).read_bytes()
    at %= len(seed)

    assert passes(full_size.repeat(seed, at, seed[at : at + length])) < PLAIN_PASSES


@pytest.mark.parametrize(
    "jpeg",
    [
        SHORT_SEGMENT + b"\xff\xd9",
        b"\xff\xd8\xff\xdb\0\1" + JPEG[2:],
        JPEG[:AFTER_APP0] + bytes(65_537) + JPEG[AFTER_APP0:],
        JPEG[:AFTER_APP0] + (bytes(30_000) + b"\xff\xfe\0\2") * 3 + JPEG[AFTER_APP0:],
        JPEG[:-2] + b"\xff" * 1025 + b"\xff\xd9",
    ],
)
def test_jpeg_beyond_the_bounds_of_its_head_is_refused(jpeg: bytes) -> None:
    assert decode.decode(jpeg, max_pixels=10_000) is Flaw.BROKEN


@pytest.mark.parametrize(
    "jpeg",
    [
        JPEG[:AFTER_APP0] + bytes(65_536) + JPEG[AFTER_APP0:],
        b"\xff\xd8" + 3 * b"\xff" + JPEG[2:],
        JPEG[:-2] + b"\xff" * 1023 + b"\xff\xd9",
        JPEG + b"\xff" * 5000,
        JPEG[:-2] + b"\xff" * 5000,
    ],
)
def test_jpeg_with_fill_bytes_within_the_bounds_is_decoded(jpeg: bytes) -> None:
    assert isinstance(decode.decode(jpeg, max_pixels=10_000), decode.Picture)
