"""`face_recognition` as its README shows it, in its own process (`benchmarks.json_process`), without a sandbox."""

from typing import Any

import benchmarks.without_68_points  # noqa: F401 - before the package

# isort: split
import face_recognition

from benchmarks.json_process import answer

_known: dict[str, Any] = {}


def learn(*, name: str, path: str) -> bool:
    """Measure a person's reference from one photo."""
    _known[name] = face_recognition.face_encodings(face_recognition.load_image_file(path))[0]
    return True


def decide(*, name: str, path: str, threshold: float) -> str:
    """Compare a photo with a reference, at our threshold; no face is no match."""
    found = face_recognition.face_encodings(face_recognition.load_image_file(path))
    near = bool(found) and float(face_recognition.face_distance([_known[name]], found[0])[0]) < threshold
    return "match" if near else "no_match"


if __name__ == "__main__":
    answer({"learn": learn, "decide": decide})
