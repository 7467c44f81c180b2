"""How often honest photos are refused, by reason and lightness of the skin, with both engines and for both uses.

    .venv/bin/python -m benchmarks.refusals [FOLDER]

Measures the photos of ``tests/images`` and the pictures in FOLDER, each of one person, and three changed copies of
each: light, contrast, blur, JPEG quality, clear glasses. Counts, intervals and comparisons are those of
`mien evaluate`.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from app.evaluation.groups import NO_GROUP, Groups
from app.evaluation.measure_images import TriedImages, give_reason
from app.evaluation.number_format import bounds, plain
from app.evaluation.refusals import USE_WORDS, count_refusals, describe_difference
from app.faces.engine import Engine, Pixels
from app.faces.flaws import Flaw
from app.faces.permit import PhotoUse
from app.faces.workers import pipeline
from app.faces.workers.pool import MAX_PIXELS
from app.main import ENGINES
from benchmarks import covers, honest_changes, pictures
from benchmarks.stages import engine_of

LIGHTNESS: Final = ("below 64", "64 to 95", "96 to 127", "128 to 159", "160 and more")
"""Luma of the cheeks, 0 to 255."""
_COPIES: Final = 3
_WIDTH: Final = 640
_LUMA: Final = np.array([0.299, 0.587, 0.114])


def main(folder: Path | None) -> None:
    """Measure, count and print."""
    files = [*sorted(pictures.PEOPLE.glob("*/*.jpg")), *(sorted(folder.iterdir()) if folder else ())]
    for name in ENGINES:
        engine = engine_of(name)
        photos = [_read(file) for file in files]
        groups = Groups(LIGHTNESS, np.array([_find_group(engine, photo) for photo in photos]))
        tried = [(person, copy) for person, photo in enumerate(photos) for copy in _copies(engine, photo, person)]
        enrolled = tuple(_judge(engine, copy, PhotoUse.ENROLMENT) for _, copy in tried)
        # An image that is accepted to enrol is accepted as a probe.
        probed = tuple(
            reason and _judge(engine, copy, PhotoUse.PROBE) for reason, (_, copy) in zip(enrolled, tried, strict=True)
        )
        refused = {PhotoUse.ENROLMENT: enrolled, PhotoUse.PROBE: probed}
        images = TriedImages(np.array([person for person, _ in tried]), refused)
        _print(name, len(files), count_refusals(images, groups, resamples=1000, seed=1))


def _copies(engine: Engine, photo: Pixels, seed: int) -> Iterator[bytes]:
    random = np.random.default_rng(seed)
    yield _encode(photo)
    for number in range(_COPIES):
        faces = engine.detect(photo)
        worn = number == 0 and len(faces) == 1
        changed = honest_changes.wear_clear_glasses(photo, faces[0], random) if worn else photo
        yield _encode(honest_changes.degrade(changed, random))


def _judge(engine: Engine, image: bytes, use: PhotoUse) -> str | None:
    answer = pipeline.measure(engine, image, use=use, keep_photo=False, max_pixels=MAX_PIXELS)
    return give_reason(answer) if isinstance(answer, Flaw) else None


def _find_group(engine: Engine, photo: Pixels) -> int:
    """Return the group of the skin's lightness; none if it is not known whose skin it is."""
    faces = engine.detect(photo)
    if len(faces) != 1:
        return NO_GROUP
    lightness = float(covers.measure_skin(photo, faces[0]) @ _LUMA)
    return int(np.clip(lightness // 32 - 1, 0, len(LIGHTNESS) - 1))


def _print(engine: str, people: int, found: dict[str, Any]) -> None:
    sys.stdout.write(f"\n## {engine}: {people} photos\n")
    for use, counted in found["uses"].items():
        parts = [counted["all"], *counted["groups"].values()]
        sys.stdout.write(f"\nRefused {USE_WORDS[use]}\n\n| reason | all | {' | '.join(counted['groups'])} |\n")
        sys.stdout.write("|---" * (1 + len(parts)) + "|\n")
        for reason in counted["all"]["reasons"]:
            cells = [_describe(part, reason) for part in parts]
            sys.stdout.write(f"| {reason} | {' | '.join(cells)} |\n")
    sys.stdout.write(f"\n{found['comparisons']} comparisons of two groups; beyond chance:\n")
    sys.stdout.writelines(f"- {describe_difference(one)}\n" for one in found["differ"])


def _describe(part: dict[str, Any], reason: str) -> str:
    if not part["images"]:
        return "none"
    one = part["reasons"][reason]
    by_person = f"; by person {bounds(one['ci95_by_person'])}" if one["ci95_by_person"] else ""
    return f"{one['images']} of {part['images']}: {plain(one['rate'])} ({bounds(one['ci95'])}{by_person})"


def _read(file: Path) -> Pixels:
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    image.thumbnail((_WIDTH, _WIDTH), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _encode(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
