"""The default engine gives the numbers of the package ``face_recognition`` for every synthetic photo."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.faces.cards.card import load_card
from app.faces.engines.face_recognition import FaceRecognition

PHOTOS = sorted((Path(__file__).parents[1] / "images" / "people").glob("*/*.jpg"))
PACKAGE = """
import json, sys, face_recognition
found = []
for path in sys.argv[1:]:
    pixels = face_recognition.load_image_file(path)
    boxes = face_recognition.face_locations(pixels, 0) or face_recognition.face_locations(pixels, 1)
    found.append([[box, list(numbers)] for box, numbers in zip(boxes, face_recognition.face_encodings(pixels, boxes))])
print(json.dumps(found))
"""
"""Runs in its own process: importing the package loads the 68-point predictor and changes Pillow's settings."""


@pytest.fixture(scope="module")
def engine() -> FaceRecognition:
    card = load_card("face_recognition")
    return FaceRecognition(card.digests, card.document["settings"])


def test_boxes_and_numbers_are_those_of_the_package(engine: FaceRecognition) -> None:
    done = subprocess.run([sys.executable, "-c", PACKAGE, *PHOTOS], capture_output=True, check=True)
    theirs = json.loads(done.stdout)
    ours = []
    for photo in PHOTOS:
        with Image.open(photo) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        ours.append([[list(face.box), list(engine.embed(pixels, face))] for face in engine.detect(pixels)])

    assert len(PHOTOS) == 18
    assert [[box for box, _ in faces] for faces in ours] == [[box for box, _ in faces] for faces in theirs]
    assert sum(map(len, ours)) >= len(PHOTOS)
    assert ours == theirs


def test_the_engine_loads_no_file_but_the_two_on_its_card() -> None:
    loads = "import sys; import app.faces.engines.face_recognition; print('face_recognition' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, check=True, text=True)

    assert done.stdout.strip() == "False"
