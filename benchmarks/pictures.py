"""The synthetic people of `tests/images`, at the sizes that cameras send. The people do not exist."""

import io
from pathlib import Path
from typing import Final

from PIL import Image

PEOPLE: Final = Path(__file__).parents[1] / "tests" / "images" / "people"
DISTINCT: Final = ("P001", "P003", "P005", "P007")
LOOK_ALIKES: Final = ("P002", "P004", "P006")
SIZES: Final = {"0.3": (640, 480), "1": (1152, 864), "12": (4000, 3000)}
"""Megapixels to width and height; portraits stand upright."""
_QUALITY: Final = 90


def photo(person: str, kind: str) -> bytes:
    """Return one photo as it is in the repository."""
    return (PEOPLE / person / f"{kind}.jpg").read_bytes()


def enlarged(person: str, kind: str, megapixels: str) -> bytes:
    """Return a photo on a canvas of that size, as a camera's JPEG: the face as large, to the picture, as it was."""
    size = SIZES[megapixels]
    with Image.open(PEOPLE / person / f"{kind}.jpg") as opened:
        upright = opened.height > opened.width
        target = (size[1], size[0]) if upright else size
        scale = max(target[0] / opened.width, target[1] / opened.height)
        whole = opened.convert("RGB").resize(
            (round(opened.width * scale), round(opened.height * scale)), Image.Resampling.BICUBIC
        )
    left, top = (whole.width - target[0]) // 2, (whole.height - target[1]) // 4
    out = io.BytesIO()
    whole.crop((left, top, left + target[0], top + target[1])).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
