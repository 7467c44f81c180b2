"""Full-size inputs: a part of a small one, repeated in its place until the file is as large as an upload may be.

A fuzzer tries small inputs, and a scan that is slow by the square of the size is still fast there.
"""

import hashlib
from typing import Final

FULL_BYTES: Final = 12 * 1024 * 1024
"""The largest photo that the service takes by default."""
LONGEST_UNIT: Final = 32
RIFF_HEAD: Final = 8


def grow(image: bytes) -> bytes:
    """Repeat a part of *image* until it has `FULL_BYTES`. Its digest selects the part, so that a finding repeats."""
    digest = hashlib.sha256(image).digest()
    begin = int.from_bytes(digest[:4]) % max(1, len(image))
    return repeat(image, begin, image[begin : begin + 1 + digest[4] % LONGEST_UNIT])


def repeat(image: bytes, at: int, unit: bytes) -> bytes:
    """Insert copies of *unit* into *image*, and correct the size in the head of a WebP."""
    copies = max(0, FULL_BYTES - len(image)) // max(1, len(unit))
    grown = image[:at] + unit * copies + image[at:]
    if grown.startswith(b"RIFF"):
        return grown[:4] + (len(grown) - RIFF_HEAD).to_bytes(4, "little") + grown[RIFF_HEAD:]
    return grown
