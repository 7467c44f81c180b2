"""The rule that decoding keeps for all input bytes. It needs no fuzzer, so the tests use it too.

A ``Finding`` is one of these:

* an exception that ``decode`` does not name
* an answer that is neither a picture nor one of three flaws
* a picture that differs from the description of ``Picture``
* too much processor time
"""

import math
import time
import warnings
from typing import Final

import numpy as np

from app.faces.engine import PHOTO_SIDE
from app.faces.flaws import Flaw
from app.faces.workers import decode

MAX_PIXELS: Final = 1_000_000
"""Small, so that the fuzzer sees many inputs; the service's own limit is 25 times that."""
MAX_CPU_S: Final = 2.0
"""Seconds of processor time for one input. A good picture of ``MAX_PIXELS`` takes 0.03."""
EXPECTED: Final = frozenset((Flaw.UNSUPPORTED, Flaw.BROKEN, Flaw.TOO_MANY_PIXELS))
"""The flaws that decoding finds; the others are about faces."""


class Finding(Exception):  # noqa: N818 - the usual word of fuzzers
    """The decoder broke the rule."""


def check(image: bytes) -> decode.Picture | Flaw:
    """Decode *image* and return the answer.

    Raises:
        Finding: the rule is broken.
    """
    began = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures and damaged EXIF
            answer = decode.decode(image, max_pixels=MAX_PIXELS)
            _check(answer)
    except MemoryError:  # the one exception that `decode` names
        return Flaw.BROKEN
    took = time.process_time() - began
    if took > MAX_CPU_S:
        raise Finding(f"{took:.1f} s")
    return answer


def _check(answer: object) -> None:
    if isinstance(answer, Flaw):
        if answer not in EXPECTED:
            raise Finding(answer)
    elif isinstance(answer, decode.Picture):
        _check_picture(answer)
    else:
        raise Finding(type(answer).__name__)


def _check_picture(picture: decode.Picture) -> None:
    pixels = picture.pixels
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:  # noqa: PLR2004 - height, width, RGB
        raise Finding(f"{pixels.dtype} {pixels.shape}")
    if not 1 <= min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= PHOTO_SIDE:
        raise Finding(str(pixels.shape))
    if not (math.isfinite(picture.reduction) and picture.reduction >= 1):
        raise Finding(str(picture.reduction))
    if not decode.encode(pixels).startswith(b"\xff\xd8\xff"):
        raise Finding("the encoded photo is no JPEG")
