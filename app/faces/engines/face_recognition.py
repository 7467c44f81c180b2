"""The default engine: ``face_recognition`` 1.3.0, dlib's HOG detector and ResNet v1, 128 dimensions, L2.

Only the package's public functions are called, and none that uses the 68-point predictor, whose training set is
non-commercial: the package loads it at import, Mien asks for the 5-point one (NOTICE).
"""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import face_recognition_models  # finds files; loads none

from app.faces.engine import Face, Pixels, Point

_RESNET: Final = "dlib_face_recognition_resnet_model_v1.dat"


class FaceRecognition:
    """Faces from some 80 px (40 px when nothing else is found) in a picture of 640 px, near frontal and upright."""

    id = "face_recognition"
    dimensions = 128
    side = 640
    """HOG takes 25 ms at 640 px, 346 ms at full size; genuine distances are no larger (docs/explanation/faces.md)."""

    def __init__(self, digests: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        self.weights_sha256 = digests[_RESNET]
        self._upsample: list[int] = settings["upsample"]
        self._jitters: int = settings["jitters"]
        # Importing the package loads its weights, so it waits until they have been checked.
        self._api: Any = importlib.import_module("face_recognition")

    @staticmethod
    def weights_files(settings: Mapping[str, Any]) -> Mapping[str, Path]:  # noqa: ARG004 - all come with its package
        """Return all that importing the package loads, used or not."""
        models = face_recognition_models
        paths = (
            models.face_recognition_model_location(),
            models.pose_predictor_five_point_model_location(),
            models.pose_predictor_model_location(),
            models.cnn_face_detector_model_location(),
        )
        return {path.name: path for path in map(Path, paths)}

    def detect(self, pixels: Pixels) -> list[Face]:
        """Return all faces; smaller ones are looked for only when there is none, at four times the cost."""
        boxes: list[tuple[int, int, int, int]] = []
        for times in self._upsample:
            boxes = boxes or self._api.face_locations(pixels, number_of_times_to_upsample=times)
        marks = self._api.face_landmarks(pixels, face_locations=boxes, model="small")
        return [_face(box, mark) for box, mark in zip(boxes, marks, strict=True)]

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return the 128 numbers of *face*."""
        boxes = [face.box]
        (vector,) = self._api.face_encodings(
            pixels, known_face_locations=boxes, num_jitters=self._jitters, model="small"
        )
        return [float(value) for value in vector]


def _face(box: tuple[int, int, int, int], mark: Mapping[str, list[tuple[int, int]]]) -> Face:
    corners = [_point(xy) for name in ("right_eye", "left_eye") for xy in mark[name]]
    nose = _point(mark["nose_tip"][0])
    one, other = _middle(corners[:2]), _middle(corners[2:])
    return Face(
        box=(int(box[0]), int(box[1]), int(box[2]), int(box[3])),
        points=(corners[0], corners[1], corners[2], corners[3], nose),
        eyes=(min(one, other), max(one, other)),
        nose=nose,
    )


def _point(xy: tuple[int, int]) -> Point:
    return float(xy[0]), float(xy[1])


def _middle(pair: list[Point]) -> Point:
    return (pair[0][0] + pair[1][0]) / 2, (pair[0][1] + pair[1][1]) / 2
