"""`face_recognition` as its README shows it, in a process of its own; and, apart from it, the steps of our own worker.

Speaks JSON lines, in ``{"do": "learn" | "decide" | "steps", …}``, out the answer. It runs outside any sandbox.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import face_recognition

from app.faces import decode, pipeline
from app.faces.cards import load_card
from app.faces.engines.face_recognition import FaceRecognition
from app.faces.quality import measures

_known: dict[str, Any] = {}


def learn(*, name: str, path: str) -> bool:
    """Take somebody's reference from one photo."""
    _known[name] = face_recognition.face_encodings(face_recognition.load_image_file(path))[0]
    return True


def decide(*, name: str, path: str, threshold: float) -> str:
    """Compare a photo with a reference, at our threshold; no face is no match."""
    found = face_recognition.face_encodings(face_recognition.load_image_file(path))
    near = bool(found) and float(face_recognition.face_distance([_known[name]], found[0])[0]) < threshold
    return "match" if near else "no_match"


def steps(*, path: str) -> dict[str, float]:
    """Return the seconds of each step of our own worker, taken one after the other here."""
    engine = _engine()
    with open(path, "rb") as file:  # noqa: PTH123 - the time of a Path is not ours to measure
        image = file.read()
    marks = [time.perf_counter()]

    def mark() -> None:
        marks.append(time.perf_counter())

    picture = decode.decode(image, max_pixels=25_000_000)
    if not isinstance(picture, decode.Picture):
        raise SystemExit(picture)
    small = decode.reduced(picture.pixels, engine.side)
    mark()
    (face,) = engine.detect(small.pixels)
    mark()
    measures(small.pixels, face, reduction=picture.reduction * small.reduction)
    mark()
    engine.embed(small.pixels, face)
    mark()
    lengths = [after - before for before, after in itertools.pairwise(marks)]
    return dict(zip(("decode", "detect", "quality", "embed"), lengths, strict=True))


def _engine() -> FaceRecognition:
    if "engine" not in _known:
        decode.harden()
        _known["engine"] = FaceRecognition(load_card("face_recognition").digests)
        pipeline.warm_up(_known["engine"], 25_000_000)
    engine: FaceRecognition = _known["engine"]
    return engine


def main() -> None:
    """Answer until the input ends."""
    verbs: dict[str, Callable[..., Any]] = {"learn": learn, "decide": decide, "steps": steps}
    for line in sys.stdin:
        asked = json.loads(line)
        answer = verbs[asked.pop("do")](**asked)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
