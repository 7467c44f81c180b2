"""Train the network of ``app/faces/appearance.npz`` on a folder of pictures, each of one uncovered, upright face.

    .venv/bin/python -m benchmarks.train_appearance FOLDER OUT

The shipped network was trained with this recipe, in separate steps, so a run gives a similar network and other bytes.
The pictures came from the overview sheets of SFHQ and SFHQ-T2I (synthetic people, MIT), cut into single pictures.
Near copies and covered faces were left out. The people of ``tests/images`` and the covers of ``covers.HELD_OUT`` are
not used. Each picture gives honest variants, covered ones, turned ones and negatives.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.faces import appearance, quality
from app.faces.engine import Engine, Face, Pixels
from app.faces.flaws import Flaw
from app.faces.permit import PhotoUse
from benchmarks import covers, honest_changes
from benchmarks.stages import engine_of

SEEN: Final = dict.fromkeys(appearance.APPEARANCE_NAMES, 9.0)
"""Measures of a face about which nothing is wrong."""
_REFUSES: Final = ("turned", "eyes", "mouth")
"""Variants for which each output is to be negative."""
_WIDTH: Final = 300
_COVERS: Final = 6
_HIDDEN: Final = 24
_EPOCHS: Final = 16
_BATCH: Final = 128
_RATE: Final = 2e-3
_DECAY: Final = 0.01
_DROPPED: Final = 0.2
_HONEST_WEIGHT: Final = 2.0
_DEGRADED: Final = 0.6
_ARGUMENTS: Final = 3

Singles = npt.NDArray[np.float32]


def find_faces(engine: Engine, folder: Path) -> Iterator[tuple[Pixels, Face]]:
    """Return the pictures with one good face, reduced to `_WIDTH`. Covering is not judged: the folder has none."""
    for path in sorted(folder.iterdir()):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image.thumbnail((_WIDTH, _WIDTH), Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
        if len(faces := engine.detect(pixels)) == 1:
            measures = quality.measure_quality(pixels, faces[0], reduction=2.0) | SEEN
            if quality.find_flaw(measures, PhotoUse.ENROLMENT) in (None, Flaw.COVERED):
                yield pixels, faces[0]


def draw_variants(pixels: Pixels, face: Face, random: covers.Random) -> Iterator[tuple[str, Pixels, Face]]:
    """Return what a variant hides (``nothing``, ``eyes``, ``mouth`` or ``turned``), the picture and the face."""
    yield "nothing", pixels, face
    for _ in range(2):
        yield "nothing", honest_changes.degrade(pixels, random), honest_changes.shift_eyes(face, random, 0.05)
    glasses = honest_changes.wear_clear_glasses(pixels, face, random)
    yield "nothing", honest_changes.degrade(glasses, random), honest_changes.shift_eyes(face, random, 0.05)
    kinds = list(covers.TRAINING.values())
    for number in random.choice(len(kinds), _COVERS, replace=False):
        covered = kinds[number].draw(pixels, face, int(random.integers(1 << 30)))
        if random.random() < _DEGRADED:
            covered = honest_changes.degrade(covered, random)
        yield kinds[number].hides, covered, honest_changes.shift_eyes(face, random, 0.05)
    # Some detectors place the eyes of a covered face badly.
    for _ in range(3):
        yield "nothing", honest_changes.degrade(pixels, random), honest_changes.shift_eyes(face, random, 0.09)
    for number in random.choice(len(kinds), _COVERS - 2, replace=False):
        covered = kinds[number].draw(pixels, face, int(random.integers(1 << 30)))
        yield kinds[number].hides, covered, honest_changes.shift_eyes(face, random, 0.1)
    for degrees in (180, 180, random.choice([90, -90, 135, -135]), random.choice([60, -60, 110, -110, 160, -160])):
        turned = honest_changes.claim_turned(face, float(degrees), random)
        yield "turned", honest_changes.degrade(pixels, random), turned
    negative = np.subtract(255, honest_changes.degrade(pixels, random), dtype=np.uint8)
    yield "turned", negative, honest_changes.shift_eyes(face, random, 0.05)


def train(edges: Singles, hides: npt.NDArray[np.str_]) -> dict[str, Singles]:
    """Return the arrays of the network: one hidden layer, trained by Adam with dropout of the input."""
    random = np.random.default_rng(0)
    good = np.stack([hides != refused for refused in _REFUSES], axis=1).astype(np.float32)
    # A turned face says nothing about its eyes and its mouth.
    weight = np.where((hides == "turned")[:, None], np.array([1, 0, 0]), 1).astype(np.float32)
    weight[hides == "nothing"] *= _HONEST_WEIGHT
    middle = edges.mean(axis=0)
    shapes = (edges.shape[1], _HIDDEN), (_HIDDEN, len(_REFUSES))
    first, second = (random.normal(0, scale / np.sqrt(s[0]), s) for s, scale in zip(shapes, (3, 1), strict=True))
    biases = np.zeros((1, _HIDDEN), np.float32), np.zeros((1, len(_REFUSES)), np.float32)
    layers: list[Singles] = [first.astype(np.float32), biases[0], second.astype(np.float32), biases[1]]
    speeds, squares = [np.zeros_like(layer) for layer in layers], [np.zeros_like(layer) for layer in layers]
    step = 0
    for epoch in range(_EPOCHS):
        rate = _RATE * (1 + np.cos(np.pi * epoch / _EPOCHS)) / 2
        for batch in np.array_split(random.permutation(len(edges)), len(edges) // _BATCH):
            kept = random.random((len(batch), edges.shape[1]), dtype=np.float32) > _DROPPED
            slopes = _slopes(layers, (edges[batch] - middle) * kept / (1 - _DROPPED), good[batch], weight[batch])
            step += 1
            for layer, speed, square, slope in zip(layers, speeds, squares, slopes, strict=True):
                np.add(speed, 0.1 * (slope - speed), out=speed)
                np.add(square, 0.001 * (slope**2 - square), out=square)
                move = (speed / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
                np.subtract(layer, rate * (move + (_DECAY * layer if len(layer) > 1 else 0)), out=layer)
    hidden, bias, outputs, last = layers
    return {
        "hidden": hidden.astype(np.float16),
        "hidden_bias": bias[0] - middle @ hidden,
        "outputs": outputs,
        "outputs_bias": last[0],
    }


def _slopes(layers: list[Singles], edges: Singles, good: Singles, weight: Singles) -> list[Singles]:
    hidden, bias, outputs, last = layers
    before = edges @ hidden + bias
    after = np.maximum(before, 0)
    error = (1 / (1 + np.exp(-(after @ outputs + last))) - good) * weight / len(edges)
    back = (error @ outputs.T) * (before > 0)
    return [edges.T @ back, back.sum(axis=0, keepdims=True), after.T @ error, error.sum(axis=0, keepdims=True)]


def main(folder: Path, out: Path) -> None:
    """Train on *folder* and write *out*."""
    edges, hides = [], []
    for number, (pixels, face) in enumerate(find_faces(engine_of("sface"), folder)):
        for hidden, picture, seen in draw_variants(pixels, face, np.random.default_rng(number)):
            edges.append(appearance.measure_edges(picture, seen).ravel())
            hides.append(hidden)
    network = train(np.stack(edges), np.array(hides))
    np.savez(out, allow_pickle=False, **network)


if __name__ == "__main__":
    if len(sys.argv) != _ARGUMENTS:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
