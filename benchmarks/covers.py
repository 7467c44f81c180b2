"""Drawn covers of a face: masks, lenses, scarves, hands and stickers in many colours and patterns.

Shapes are in eye units, as in ``app/faces/quality.py``. Every drawing depends on its seed alone. The covers of
``HELD_OUT`` did not train the network of `app/faces/appearance.py`: other shapes and other patterns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from app.faces.engine import Face, Pixels

Floats = npt.NDArray[np.float64]
Random = np.random.Generator
Outline = list[tuple[float, float]]
"""Corners of one polygon, in eye units."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Eye coordinates of every pixel of a picture, and colours of the face in it."""

    across: Floats
    down: Floats
    skin: Floats
    """RGB of the cheeks."""
    backdrop: Floats
    """RGB of a corner of the picture."""


_CHEEK: Final = 0.12
"""Half the side of the square on each cheek, in eye units."""

Shape = Callable[[Random], list[Outline]]
Fill = Callable[[Sheet, Random], Floats]


@dataclass(frozen=True, slots=True)
class Cover:
    """A kind of cover: the place it hides, its outline and its fill."""

    hides: str
    """``eyes`` or ``mouth``."""
    shape: Shape
    fill: Fill
    opacity: float = 1.0
    frame: bool = False
    """Whether a dark line surrounds it, as round the lenses of glasses."""

    def draw(self, pixels: Pixels, face: Face, seed: int) -> Pixels:
        """Return a copy of *pixels* with the cover on *face*."""
        random = np.random.default_rng(seed)
        sheet, to_pixels = _sheet(pixels, face)
        outlines = [to_pixels(outline) for outline in self.shape(random)]
        size, unit = (pixels.shape[1], pixels.shape[0]), measure_unit(face)
        alpha = _stencil(size, outlines, unit) * self.opacity
        painted = np.clip(self.fill(sheet, random), 0, 255)
        result = pixels + (painted - pixels) * alpha[..., None]
        if self.frame:
            line = _stencil(size, outlines, unit, line=max(2, round(unit * random.uniform(0.04, 0.1))))
            result += (random.uniform(10, 90) - result) * line[..., None]
        return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def measure_unit(face: Face) -> float:
    """Return the distance of the eyes in pixels."""
    (x1, y1), (x2, y2) = face.eyes
    return max(float(np.hypot(x2 - x1, y2 - y1)), 1.0)


def _sheet(pixels: Pixels, face: Face) -> tuple[Sheet, Callable[[Outline], Outline]]:
    left, right = (np.array(eye) for eye in face.eyes)
    unit, middle = measure_unit(face), (left + right) / 2
    x = (right - left) / unit
    y = np.array([-x[1], x[0]])
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    at = np.stack([columns, rows], axis=-1) - middle

    def to_pixels(outline: Outline) -> Outline:
        return [tuple(middle + unit * (u * x + v * y)) for u, v in outline]

    across, down = at @ x / unit, at @ y / unit
    cheeks = np.maximum(np.abs(np.abs(across) - 0.5), np.abs(down - 0.45)) < _CHEEK
    skin = np.median(pixels[cheeks], axis=0) if cheeks.any() else np.array([150.0, 110, 90])
    return Sheet(across, down, skin, np.median(pixels[:20, :20].reshape(-1, 3), axis=0)), to_pixels


def measure_skin(pixels: Pixels, face: Face) -> Floats:
    """Return the RGB of the cheeks."""
    return _sheet(pixels, face)[0].skin


def _stencil(size: tuple[int, int], outlines: list[Outline], unit: float, line: int = 0) -> Floats:
    image = Image.new("L", size)
    pen = ImageDraw.Draw(image)
    for outline in outlines:
        if line:
            pen.line([*outline, outline[0]], fill=255, width=line)
        else:
            pen.polygon(outline, fill=255)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(unit / 80)), dtype=np.float64) / 255


def _ellipse(x: float, y: float, width: float, height: float, power: float = 2.0) -> Outline:
    """Return an ellipse; a higher *power* makes it squarer."""
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cos, sin = np.cos(turns), np.sin(turns)
    us = x + width / 2 * np.sign(cos) * np.abs(cos) ** (2 / power)
    vs = y + height / 2 * np.sign(sin) * np.abs(sin) ** (2 / power)
    return list(zip(us.tolist(), vs.tolist(), strict=True))


# Shapes


def mask(random: Random) -> list[Outline]:
    """Return a mouth mask from the nose's bridge to below the chin."""
    top, side, low = random.uniform(0.2, 0.5), random.uniform(0.85, 1.1), random.uniform(1.6, 2.0)
    ear, jaw = random.uniform(0.3, 0.6), random.uniform(1.1, 1.45)
    return [[(-side, ear), (0, top), (side, ear), (side * 0.9, jaw), (0, low), (-side * 0.9, jaw)]]


def surgical_mask(random: Random) -> list[Outline]:
    """Return a rectangle with round corners over nose and mouth."""
    top, low = random.uniform(0.25, 0.5), random.uniform(1.5, 1.9)
    return [_ellipse(0, (top + low) / 2, random.uniform(1.5, 2.0), low - top, random.uniform(3, 8))]


def low_mask(random: Random) -> list[Outline]:
    """Return a mask that leaves the nose free."""
    low = random.uniform(1.6, 2.0)
    top = random.uniform(0.66, 0.78)
    return [[(-0.9, top - 0.1), (0, top), (0.9, top - 0.1), (0.8, 1.35), (0, low), (-0.8, 1.35)]]


def cup_mask(random: Random) -> list[Outline]:
    """Return a bulging mask that narrows to the chin."""
    return [_ellipse(0, random.uniform(0.95, 1.15), random.uniform(1.3, 1.7), random.uniform(1.2, 1.5), 2.4)]


def scarf(random: Random) -> list[Outline]:
    """Return a scarf from the nose downwards, beyond the face."""
    top, sag = random.uniform(0.45, 0.75), random.uniform(-0.12, 0.12)
    return [[(-1.6, top - 0.2), (-0.6, top + sag), (0.2, top), (1.6, top - 0.2 - sag), (1.9, 3.0), (-1.9, 3.0)]]


def bandana(random: Random) -> list[Outline]:
    """Return a triangle that hangs from the nose."""
    top = random.uniform(0.4, 0.65)
    return [[(-1.1, top), (1.1, top), (0.5, 1.7), (0, random.uniform(2.0, 2.5)), (-0.5, 1.7)]]


def mouth_sticker(random: Random) -> list[Outline]:
    """Return an ellipse over the mouth alone."""
    return [_ellipse(random.uniform(-0.05, 0.05), 1.08, random.uniform(0.9, 1.2), random.uniform(0.5, 0.75))]


def mouth_star(random: Random) -> list[Outline]:
    """Return a star over the mouth."""
    radius, count = random.uniform(0.5, 0.65), int(random.integers(5, 9))
    turns = np.linspace(0, 2 * np.pi, 2 * count, endpoint=False) + random.uniform(0, 1)
    far = np.where(np.arange(2 * count) % 2, radius * 0.7, radius)
    return [[(float(r * np.cos(t)), float(1.05 + r * np.sin(t))) for r, t in zip(far, turns, strict=True)]]


def fingers(random: Random) -> list[Outline]:
    """Return four fingers laid over the mouth from one side."""
    side, start = random.choice([-1, 1]), random.uniform(0.6, 0.75)
    width = random.uniform(0.24, 0.3)
    tips = random.uniform(0.55, 0.9, 4)
    return [
        _ellipse(side * (1.3 - tip) / 2, start + i * width, 1.3 + tip, width * 1.15, 4) for i, tip in enumerate(tips)
    ]


def palm(random: Random) -> list[Outline]:
    """Return a hand that comes from below and lies over mouth and chin."""
    x = random.uniform(-0.15, 0.15)
    spread = [_ellipse(x + (i - 1.5) * 0.33, 0.95, 0.36, random.uniform(0.9, 1.2), 3) for i in range(4)]
    return [_ellipse(x, 1.8, 1.4, 1.5, 3), *spread]


def square_lenses(random: Random) -> list[Outline]:
    """Return two lenses with round corners."""
    width, height, power = random.uniform(0.72, 0.95), random.uniform(0.5, 0.75), random.uniform(3, 10)
    return [_ellipse(side * 0.5, 0.05, width, height, power) for side in (-1, 1)]


def round_lenses(random: Random) -> list[Outline]:
    """Return two round lenses."""
    size = random.uniform(0.6, 0.85)
    return [_ellipse(side * 0.5, 0.04, size, size * random.uniform(0.9, 1.05)) for side in (-1, 1)]


def aviator_lenses(random: Random) -> list[Outline]:
    """Return two lenses that hang outwards, as a pilot's."""
    low, wide = random.uniform(0.4, 0.55), random.uniform(0.85, 1.0)
    half = [(0.14, -0.25), (wide, -0.28), (wide + 0.03, 0.05), (0.7, low), (0.4, low), (0.18, 0.12)]
    return [half, [(-u, v) for u, v in half]]


def small_lenses(random: Random) -> list[Outline]:
    """Return narrow lenses that just hide the eyes."""
    width, height = random.uniform(0.55, 0.65), random.uniform(0.32, 0.4)
    return [_ellipse(side * 0.5, 0.02, width, height, 6) for side in (-1, 1)]


def visor(random: Random) -> list[Outline]:
    """Return one lens over both eyes."""
    return [_ellipse(0, 0.03, random.uniform(1.9, 2.2), random.uniform(0.55, 0.85), 5)]


def eye_patch(random: Random) -> list[Outline]:
    """Return a patch over one eye."""
    return [_ellipse(float(random.choice([-0.5, 0.5])), 0.02, random.uniform(0.6, 0.8), random.uniform(0.45, 0.65))]


def eye_bar(random: Random) -> list[Outline]:
    """Return a bar over both eyes."""
    height = random.uniform(0.3, 0.5)
    return [[(-1.1, -height / 2), (1.1, -height / 2), (1.1, height / 2), (-1.1, height / 2)]]


# Fills


def plain(colour: tuple[float, float, float]) -> Fill:
    """Return a fill of one colour."""
    return lambda sheet, _: np.broadcast_to(np.array(colour, dtype=np.float64), (*sheet.down.shape, 3))


def any_plain(sheet: Sheet, random: Random) -> Floats:
    """Return one random colour."""
    return np.broadcast_to(random.uniform(0, 255, 3), (*sheet.down.shape, 3))


def shaded(sheet: Sheet, random: Random) -> Floats:
    """Return cloth of a random pale or dark colour, with folds and light from one side."""
    colour = random.uniform(20, 250) + random.uniform(-40, 40, 3)
    return _lit(sheet, random, colour, folds=random.uniform(0.02, 0.12))


def skin(sheet: Sheet, random: Random) -> Floats:
    """Return the skin's own colour, lit from one side."""
    return _lit(sheet, random, sheet.skin * random.uniform(0.8, 1.2), folds=random.uniform(0, 0.05))


def backdrop(sheet: Sheet, random: Random) -> Floats:
    """Return the colour behind the person."""
    return _lit(sheet, random, sheet.backdrop, folds=0.03)


def stripes(sheet: Sheet, random: Random) -> Floats:
    """Return stripes at a random angle."""
    turn = random.uniform(0, np.pi)
    wave = np.sin((sheet.across * np.cos(turn) + sheet.down * np.sin(turn)) * random.uniform(8, 40))
    return _mixed(wave > 0, random)


def dots(sheet: Sheet, random: Random) -> Floats:
    """Return dots on a ground."""
    pitch = random.uniform(8, 25)
    return _mixed(np.sin(sheet.across * pitch) * np.sin(sheet.down * pitch) > random.uniform(0.2, 0.7), random)


def checks(sheet: Sheet, random: Random) -> Floats:
    """Return a checked cloth."""
    pitch = random.uniform(6, 25)
    tall, wide = np.sin(sheet.across * pitch) > 0, np.sin(sheet.down * pitch) > 0
    return (_mixed(tall, random) + _mixed(wide, random)) / 2


def knitted(sheet: Sheet, random: Random) -> Floats:
    """Return wool: rows of stitches with noise."""
    pitch, colour = random.uniform(20, 50), random.uniform(20, 230, 3)
    rows = np.sin(sheet.down * pitch + 2 * np.abs(np.sin(sheet.across * pitch / 2)))
    return _paint(colour, 1 + 0.2 * rows + random.normal(0, 0.06, sheet.down.shape))


def noisy(sheet: Sheet, random: Random) -> Floats:
    """Return cloudy noise of two colours."""
    coarse = Image.fromarray(random.integers(0, 256, (24, 24), dtype=np.uint8).astype(np.uint8))
    size = sheet.down.shape[1], sheet.down.shape[0]
    clouds = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.float64) / 255
    one, other = random.uniform(0, 255, (2, 3))
    return _blend(one, other, clouds)


def fading(sheet: Sheet, random: Random) -> Floats:
    """Return one colour that fades into another from top to bottom."""
    one, other = random.uniform(0, 255, (2, 3))
    return _blend(one, other, np.clip((sheet.down + 0.3) / 0.7, 0, 1))


def mirror(sheet: Sheet, random: Random) -> Floats:
    """Return the reflection of a bright sky above a dark ground, with a spot of light."""
    horizon = random.uniform(-0.1, 0.2) + 0.1 * np.sin(sheet.across * random.uniform(2, 6))
    sky, ground = random.uniform(120, 255, 3), random.uniform(10, 110, 3)
    share = 1 / (1 + np.exp((sheet.down - horizon) * random.uniform(10, 40)))
    glint = np.exp(-(((np.abs(sheet.across) - 0.4) ** 2 + (sheet.down + 0.1) ** 2) / random.uniform(0.002, 0.02)))
    return _blend(ground, sky, share) + _paint(np.full(3, 120.0), glint)


def _mixed(where: npt.NDArray[np.bool_], random: Random) -> Floats:
    one, other = random.uniform(0, 255, (2, 3))
    return _blend(other, one, where.astype(np.float64))


def _lit(sheet: Sheet, random: Random, colour: Floats, *, folds: float) -> Floats:
    slope, pitch = random.uniform(-0.25, 0.25), random.uniform(5, 20)
    light = 1 + slope * sheet.across - 0.08 * sheet.across**2
    light = light + folds * np.sin(sheet.down * pitch + sheet.across * random.uniform(-6, 6))
    return _paint(colour, light + random.normal(0, 0.012, sheet.down.shape))


def _paint(colour: Floats, light: Floats) -> Floats:
    """Return *colour* at every pixel, in the light there."""
    painted: Floats = colour * light[..., None]
    return painted


def _blend(one: Floats, other: Floats, share: Floats) -> Floats:
    """Return *one* where *share* is 0 and *other* where it is 1."""
    blended: Floats = one + (other - one) * share[..., None]
    return blended


_WHITE: Final = plain((235, 235, 238))
_BEIGE: Final = plain((222, 196, 170))
_MIRROR_GREY: Final = plain((190, 195, 200))
_BLACK: Final = plain((20, 20, 22))

TRAINING: Final = {
    "mask, white": Cover("mouth", mask, _WHITE),
    "mask, any colour": Cover("mouth", mask, any_plain),
    "mask, shaded cloth": Cover("mouth", mask, shaded),
    "mask, skin colour": Cover("mouth", mask, skin),
    "mask, striped": Cover("mouth", mask, stripes),
    "mask, dotted": Cover("mouth", mask, dots),
    "surgical, shaded": Cover("mouth", surgical_mask, shaded),
    "surgical, clouds": Cover("mouth", surgical_mask, noisy),
    "low mask, shaded": Cover("mouth", low_mask, shaded),
    "low mask, skin colour": Cover("mouth", low_mask, skin),
    "bandana, striped": Cover("mouth", bandana, stripes),
    "mouth sticker, any colour": Cover("mouth", mouth_sticker, any_plain),
    "mouth sticker, skin colour": Cover("mouth", mouth_sticker, skin),
    "mouth sticker, clouds": Cover("mouth", mouth_sticker, noisy),
    "fingers": Cover("mouth", fingers, skin),
    "square lenses, black": Cover("eyes", square_lenses, _BLACK, frame=True),
    "square lenses, any colour": Cover("eyes", square_lenses, any_plain, frame=True),
    "square lenses, fading": Cover("eyes", square_lenses, fading, 0.95, frame=True),
    "round lenses, any colour": Cover("eyes", round_lenses, any_plain),
    "round lenses, shaded": Cover("eyes", round_lenses, shaded, frame=True),
    "round lenses, tinted": Cover("eyes", round_lenses, any_plain, 0.88, frame=True),
    "visor, any colour": Cover("eyes", visor, any_plain),
    "eye bar, any colour": Cover("eyes", eye_bar, any_plain),
    "eye bar, clouds": Cover("eyes", eye_bar, noisy),
    "eye bar, skin colour": Cover("eyes", eye_bar, skin),
    "eye patch, any colour": Cover("eyes", eye_patch, any_plain),
    "mask, knitted": Cover("mouth", mask, knitted),
    "small lenses, skin colour": Cover("eyes", small_lenses, skin, frame=True),
    "eye bar, checked": Cover("eyes", eye_bar, checks),
    "eye patch, knitted": Cover("eyes", eye_patch, knitted),
}
HELD_OUT: Final = {
    "mask, beige": Cover("mouth", mask, _BEIGE),
    "mask, checked": Cover("mouth", mask, checks),
    "surgical, white": Cover("mouth", surgical_mask, _WHITE),
    "cup mask, white": Cover("mouth", cup_mask, _WHITE),
    "cup mask, shaded": Cover("mouth", cup_mask, shaded),
    "cup mask, skin colour": Cover("mouth", cup_mask, skin),
    "low mask, checked": Cover("mouth", low_mask, checks),
    "scarf, knitted": Cover("mouth", scarf, knitted),
    "scarf, backdrop colour": Cover("mouth", scarf, backdrop),
    "palm of a hand": Cover("mouth", palm, skin),
    "mouth star, fading": Cover("mouth", mouth_star, fading),
    "square lenses, mirror grey": Cover("eyes", square_lenses, _MIRROR_GREY, frame=True),
    "aviators, mirrored": Cover("eyes", aviator_lenses, mirror, frame=True),
    "aviators, any colour": Cover("eyes", aviator_lenses, any_plain),
    "aviators, black": Cover("eyes", aviator_lenses, _BLACK),
    "small lenses, mirrored": Cover("eyes", small_lenses, mirror, frame=True),
    "visor, mirrored": Cover("eyes", visor, mirror),
}
"""Clear glasses are no cover: `benchmarks/honest_changes.py`."""
