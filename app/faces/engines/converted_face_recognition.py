"""The default engine with converted copies of its models: OpenCV runs the ResNet, in an eighth of dlib's time.

Templates of both classes are alike (`app/faces/workers/converted_network.py`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import dlib
import face_recognition_models  # only returns paths

from app.faces.engines.face_recognition import Describe, FaceRecognition, Find
from app.faces.engines.network import Network
from app.faces.engines.opencv import reduce_with_opencv

NETWORK: Final = "dlib_face_recognition_resnet_model_v1.onnx"
DETECTOR: Final = "dlib_frontal_face_detector.svm"
"""dlib takes a second to unpack the detector that is part of it, and some milliseconds to load it from a file."""
_MEAN: Final = (122.782, 117.001, 104.298)
"""Mean colour that dlib subtracts."""


class ConvertedFaceRecognition(FaceRecognition):
    """Finds and describes the same faces. The setting ``converted`` is the directory of the copies."""

    reduce = staticmethod(reduce_with_opencv)

    @staticmethod
    def weights_files(settings: Mapping[str, Any]) -> Mapping[str, Path]:
        """Return the two copies, and the file that finds five points."""
        points = Path(face_recognition_models.pose_predictor_five_point_model_location())
        directory = Path(settings["converted"])
        return {points.name: points, NETWORK: directory / NETWORK, DETECTOR: directory / DETECTOR}

    def _load(self, files: Mapping[str, Path]) -> tuple[Find, Describe]:
        network = Network(files[NETWORK], input_name="", mean=_MEAN, scale=1 / 256, channels="rgb")
        return dlib.fhog_object_detector(str(files[DETECTOR])), network.describe
