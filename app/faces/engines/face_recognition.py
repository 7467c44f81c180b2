"""The default engine: the networks of ``face_recognition`` 1.3.0 (HOG, ResNet v1, 128 dimensions).

The steps are those of the package's ``face_locations`` and ``face_encodings`` with its 5-point model; a test compares
the numbers. Importing the package itself would load a 68-point predictor, trained on non-commercial data (NOTICE).

dlib runs both here. `app/faces/engines/converted_face_recognition.py` does the same faster, with converted copies.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import dlib
import face_recognition_models  # only returns paths

from app.faces.appearance import measure_appearance
from app.faces.engine import Face, Pixels, Point
from app.faces.reduce import reduce_with_pillow

_RESNET: Final = "dlib_face_recognition_resnet_model_v1.dat"
_CHIP_SIDE: Final = 150
_PADDING: Final = 0.25
"""Side of the upright crop that the network takes, and its margin around the face: both as in dlib."""

Find: TypeAlias = Callable[[Pixels, int], Sequence[dlib.rectangle]]
"""Returns the faces in a picture that is enlarged so many times."""
Describe: TypeAlias = Callable[[Pixels], Iterable[float]]
"""Returns the numbers of an upright crop."""


class FaceRecognition:
    """Finds upright, near frontal faces from 80 px in a picture of 640 px; from 40 px if it finds no larger one."""

    id = "face_recognition"
    dimensions = 128
    side = 640
    """HOG takes 25 ms at 640 px and 346 ms at full size, for equal genuine distances (docs/explanation/faces.md)."""
    reduce = staticmethod(reduce_with_pillow)

    def __init__(self, digests: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        self.weights_sha256: str = settings.get("label_sha256") or digests[_RESNET]
        self._upsample: list[int] = settings["upsample"]
        self._predictor = dlib.shape_predictor(face_recognition_models.pose_predictor_five_point_model_location())
        self._find, self._describe = self._load(self.weights_files(settings))

    @staticmethod
    def weights_files(settings: Mapping[str, Any]) -> Mapping[str, Path]:  # noqa: ARG004 - all come with the package
        """Return the two files that the engine loads, by name."""
        models = face_recognition_models
        locations = models.face_recognition_model_location(), models.pose_predictor_five_point_model_location()
        return {path.name: path for path in map(Path, locations)}

    def _load(self, files: Mapping[str, Path]) -> tuple[Find, Describe]:
        network = dlib.face_recognition_model_v1(str(files[_RESNET]))
        return dlib.get_frontal_face_detector(), network.compute_face_descriptor

    def detect(self, pixels: Pixels) -> list[Face]:
        """Return all faces. Searches for smaller ones, at four times the cost, only if it finds no larger one."""
        for upsample in self._upsample:
            if found := self._find(pixels, upsample):
                return [self._face(pixels, rectangle) for rectangle in found]
        return []

    def search(self, pixels: Pixels) -> list[Face]:
        """Return the faces of 80 px and more."""
        return [self._face(pixels, rectangle) for rectangle in self._find(pixels, 0)]

    def _face(self, pixels: Pixels, rectangle: dlib.rectangle) -> Face:
        height, width = pixels.shape[:2]
        box = (
            max(rectangle.top(), 0),
            min(rectangle.right(), width),
            min(rectangle.bottom(), height),
            max(rectangle.left(), 0),
        )
        *corners, nose = ((float(part.x), float(part.y)) for part in self._predictor(pixels, _rectangle(box)).parts())
        eyes = _middle(corners[:2]), _middle(corners[2:])
        return Face(
            box=box,
            points=(corners[0], corners[1], corners[2], corners[3], nose),
            eyes=(min(eyes), max(eyes)),
            nose=nose,
        )

    def measure_appearance(self, pixels: Pixels, face: Face) -> Mapping[str, float]:
        """Return whether *face* is upright, and whether its eyes and mouth can be seen."""
        return measure_appearance(pixels, face)

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return the 128 numbers of *face*."""
        points = [dlib.point(round(x), round(y)) for x, y in face.points]
        landmarks = dlib.full_object_detection(_rectangle(face.box), points)
        chip = dlib.get_face_chip(pixels, landmarks, size=_CHIP_SIDE, padding=_PADDING)
        return [float(number) for number in self._describe(chip)]


def _rectangle(box: tuple[int, int, int, int]) -> dlib.rectangle:
    top, right, bottom, left = box
    return dlib.rectangle(left, top, right, bottom)


def _middle(pair: Sequence[Point]) -> Point:
    (x1, y1), (x2, y2) = pair
    return (x1 + x2) / 2, (y1 + y2) / 2
