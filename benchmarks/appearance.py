"""How often honest photos are refused, and covered or turned ones taken; strangers' matches before and after.

    .venv/bin/python -m benchmarks.appearance [FOLDER]

The people are those of ``tests/images``, of whom no photo trained the network. With FOLDER, also each of its pictures,
by the lightness of the skin. Prints tables in Markdown. A fixed seed draws everything.
"""

import itertools
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from app.faces import quality, vectors
from app.faces.cards.card import load_card
from app.faces.cards.operating_point import find_operating_point
from app.faces.engine import Engine, Face, Metric, Pixels, Vector
from app.faces.permit import PhotoUse
from app.faces.workers.only_face import choose_only_face
from app.faces.workers.upright import FoundFace, find_face
from app.main import ENGINES
from benchmarks import covers, honest_changes, pictures
from benchmarks.stages import engine_of

SHAPES: Final = {"HELD_OUT": covers.HELD_OUT, "TRAINING": covers.TRAINING}
TURNS: Final = (15, 30, 45, 60, 90, 120, 135, 150, 180)
HONEST_DRAWS: Final = 6
COVER_DRAWS: Final = 1
_WIDTH: Final = 640
_GLASSES: Final = 3
"""Every third variant wears clear glasses."""


@dataclass
class Count:
    """Pictures of one kind: how many, how many taken, and pairs of strangers that match."""

    pictures: int = 0
    taken: int = 0
    found: list[tuple[str, Vector]] = field(default_factory=list)
    """Person and vector, of each face that was found."""
    accepted: list[tuple[str, Vector]] = field(default_factory=list)
    """Person and vector, of each face that was taken."""


def people(folder: Path | None) -> Iterator[tuple[str, Pixels]]:
    """Return the pictures and the group of each: the person, or the lightness of the skin in FOLDER."""
    for path in sorted(pictures.PEOPLE.glob("*/*.jpg")):
        yield path.parent.name, _read(path)
    for path in sorted(folder.iterdir()) if folder else ():
        yield path.name, _read(path)


def main(folder: Path | None) -> None:
    """Measure and print everything."""
    for name in ENGINES:
        engine = engine_of(name)
        known = [(who, found) for who, pixels in people(folder) if (found := _good(engine, pixels)) is not None]
        sys.stdout.write(f"\n## {name}: {len(known)} pictures\n")
        _honest(engine, known)
        _covered(engine, known)
        _turned(engine, known)
        _cost(engine, known)


def _honest(engine: Engine, known: list[tuple[str, FoundFace]]) -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for number, (who, found) in enumerate(known):
        random = np.random.default_rng(number)
        for draw in range(HONEST_DRAWS):
            pixels = found.pixels
            if draw % _GLASSES == 0:
                pixels = honest_changes.wear_clear_glasses(pixels, found.face, random)
            answer, _ = _judge(engine, honest_changes.degrade(pixels, random))
            counts[_group(who, found)][answer] += 1
    _table("honest variants", "group | variants | covered | not upright | other flaws or no face")
    for group, answers in sorted(counts.items()):
        wrong = answers["covered"], answers["not_upright"]
        total = answers.total()
        _row(group, total, *wrong, total - answers["good"] - sum(wrong))


def _covered(engine: Engine, known: list[tuple[str, FoundFace]]) -> None:
    for title, kinds in SHAPES.items():
        _table(f"covers: {title}", "cover | drawn | found | taken | strangers match: before | after")
        for kind, cover in kinds.items():
            count = Count()
            for number, (who, found) in enumerate(known):
                for draw in range(COVER_DRAWS):
                    _try(engine, count, who, cover.draw(found.pixels, found.face, 1000 * number + draw))
            _row(kind, count.pictures, len(count.found), count.taken, *_strangers(engine, count))


def _turned(engine: Engine, known: list[tuple[str, FoundFace]]) -> None:
    threshold = find_operating_point(load_card(engine.id)).threshold
    upright = [(who, _vector(engine, found.pixels, found.face)) for who, found in known]
    _table("turned", "picture | drawn | found | taken | own upright photo matches | strangers match: before | after")
    changes: dict[str, Callable[[Pixels], Pixels]] = {f"{turn} degrees": _turner(turn) for turn in TURNS}
    changes["negative"] = lambda pixels: (255 - pixels).astype(np.uint8)
    for name, change in changes.items():
        count = Count()
        own = []
        for who, found in known:
            before = len(count.accepted)
            _try(engine, count, who, change(found.pixels))
            for _, vector in count.accepted[before:]:
                same = [other for person, other in upright if person == who]
                near = [vectors.distance(vector, other, metric=_metric(engine)) < threshold for other in same]
                own.append(any(near))
        _row(name, count.pictures, len(count.found), count.taken, sum(own), *_strangers(engine, count))


def _cost(engine: Engine, known: list[tuple[str, FoundFace]]) -> None:
    spent = {"detect": 0.0, "appearance": 0.0, "embed": 0.0}
    for _, found in known[:40]:
        began = time.process_time()
        engine.detect(found.pixels)
        spent["detect"] += (then := time.process_time()) - began
        engine.measure_appearance(found.pixels, found.face)
        spent["appearance"] += (last := time.process_time()) - then
        engine.embed(found.pixels, found.face)
        spent["embed"] += time.process_time() - last
    _table("cost", "stage | ms of processor")
    for stage, seconds in spent.items():
        _row(stage, f"{1000 * seconds / len(known[:40]):.1f}")


def _try(engine: Engine, count: Count, who: str, pixels: Pixels) -> None:
    count.pictures += 1
    faces = engine.detect(pixels)
    if len(faces) == 1 and _old_flaw(pixels, faces[0]) is None:
        count.found.append((who, _vector(engine, pixels, faces[0])))
    answer, found = _judge(engine, pixels)
    if answer == "good" and found is not None:
        count.taken += 1
        count.accepted.append((who, _vector(engine, found.pixels, found.face)))


def _old_flaw(pixels: Pixels, face: Face) -> object:
    good = {"upright": 9.0, "eyes_visible": 9.0, "mouth_visible": 9.0}
    return quality.find_flaw(quality.measure_quality(pixels, face, reduction=2.0) | good, PhotoUse.ENROLMENT)


def _judge(engine: Engine, pixels: Pixels) -> tuple[str, FoundFace | None]:
    """Return "good" or the flaw, and the face if one was found."""
    found = find_face(engine, pixels, partial(choose_only_face, use=PhotoUse.ENROLMENT, reduction=2.0))
    if not isinstance(found, FoundFace):
        return str(found), None
    measures = quality.measure_quality(found.pixels, found.face, reduction=2.0) | found.appearance
    return str(quality.find_flaw(measures, PhotoUse.ENROLMENT) or "good"), found


def _good(engine: Engine, pixels: Pixels) -> FoundFace | None:
    """Return the face of a photo without flaws other than those that are measured here."""
    faces = engine.detect(pixels)
    if len(faces) != 1 or _old_flaw(pixels, faces[0]) is not None:
        return None
    return FoundFace(pixels, faces[0], 0, {})


def _strangers(engine: Engine, count: Count) -> tuple[str, str]:
    threshold = find_operating_point(load_card(engine.id)).threshold
    said = []
    for vectors_of in (count.found, count.accepted):
        pairs = [(one, other) for one, other in itertools.combinations(vectors_of, 2) if one[0] != other[0]]
        near = sum(vectors.distance(a[1], b[1], metric=_metric(engine)) < threshold for a, b in pairs)
        said.append(f"{near} of {len(pairs)}")
    return said[0], said[1]


def _metric(engine: Engine) -> Metric:
    return load_card(engine.id).metric


def _vector(engine: Engine, pixels: Pixels, face: Face) -> Vector:
    return tuple(engine.embed(pixels, face))


def _turner(degrees: int) -> Callable[[Pixels], Pixels]:
    def turned(pixels: Pixels) -> Pixels:
        image = Image.fromarray(pixels).rotate(
            degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(128, 128, 128)
        )
        image.thumbnail((_WIDTH, _WIDTH))
        return np.asarray(image)

    return turned


def _group(who: str, found: FoundFace) -> str:
    """Return the person of `tests/images`, or the lightness of the cheeks."""
    if who.startswith("P0"):
        return who
    return f"skin {int(covers.measure_skin(found.pixels, found.face).mean() // 32) * 32:3d}+"


def _read(path: Path) -> Pixels:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    image.thumbnail((_WIDTH, _WIDTH), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _table(title: str, head: str) -> None:
    sys.stdout.write(f"\n### {title}\n\n| {head} |\n|{'---|' * (head.count('|') + 1)}\n")


def _row(*cells: object) -> None:
    sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
