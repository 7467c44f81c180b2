"""Reduce a picture with Pillow, for an engine without OpenCV (`app/faces/engines/opencv.py`)."""

import numpy as np
from PIL import Image

from app.faces.engine import Pixels


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the picture in a smaller size, of the same mode."""
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def reduce_with_pillow(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return the picture in a smaller size."""
    return np.asarray(resize(Image.fromarray(pixels), size))
