"""The default engine gives the vectors of the package ``face_recognition`` for every synthetic photo."""

import json
import shutil
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
import json, sys
import benchmarks.without_68_points
import face_recognition
found = []
for path in sys.argv[1:]:
    pixels = face_recognition.load_image_file(path)
    boxes = face_recognition.face_locations(pixels, 0) or face_recognition.face_locations(pixels, 1)
    found.append([[box, list(numbers)] for box, numbers in zip(boxes, face_recognition.face_encodings(pixels, boxes))])
print(json.dumps(found))
"""
"""In a process of its own, since importing the package changes Pillow's settings."""

WITH_TWO_FILES = """
import json, sys
from pathlib import Path
import face_recognition_models, numpy as np
from PIL import Image
folder, photo, digests = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
for name in vars(face_recognition_models):
    if name.endswith("_location"):
        file = Path(getattr(face_recognition_models, name)()).name
        setattr(face_recognition_models, name, lambda path=str(folder / file): path)
from app.faces.engines.face_recognition import FaceRecognition
engine = FaceRecognition(digests, {"upsample": [0, 1]})
pixels = np.asarray(Image.open(photo).convert("RGB"))
vectors = [engine.embed(pixels, face) for face in engine.detect(pixels)]
print(json.dumps({"faces": len(vectors), "package_imported": "face_recognition" in sys.modules}))
"""
"""Looks up the model files in a directory that has two of the four."""


@pytest.fixture(scope="module")
def engine() -> FaceRecognition:
    card = load_card("face_recognition")
    return FaceRecognition(card.digests, card.document["settings"])


@pytest.mark.service
def test_boxes_and_vectors_are_those_of_the_package(engine: FaceRecognition, tmp_path: Path) -> None:
    pictures, files = [], []
    for number, photo in enumerate(PHOTOS):
        with Image.open(photo) as opened:
            reduced = opened.convert("RGB").reduce(2)
        pictures.append(np.asarray(reduced))
        files.append(tmp_path / f"{number}.png")
        reduced.save(files[-1], compress_level=1)
    with subprocess.Popen([sys.executable, "-c", PACKAGE, *files], stdout=subprocess.PIPE) as package:
        ours = [
            [[list(face.box), list(engine.embed(pixels, face))] for face in engine.detect(pixels)]
            for pixels in pictures
        ]
        theirs = json.loads(package.communicate()[0])

    assert len(PHOTOS) == 18
    assert [[box for box, _ in faces] for faces in ours] == [[box for box, _ in faces] for faces in theirs]
    assert sum(map(len, ours)) >= len(PHOTOS)
    assert ours == theirs


@pytest.mark.service
def test_the_68_point_predictor_is_neither_needed_nor_loaded(tmp_path: Path) -> None:
    card = load_card("face_recognition")
    for name, path in FaceRecognition.weights_files({}).items():
        shutil.copy(path, tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", WITH_TWO_FILES, tmp_path, PHOTOS[0], json.dumps(dict(card.digests))],
        capture_output=True,
        check=True,
        text=True,
    )

    assert {path.name for path in tmp_path.iterdir()} == set(card.digests)
    assert json.loads(done.stdout) == {"faces": 1, "package_imported": False}
