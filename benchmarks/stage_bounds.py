"""Lower bounds of a worker's stages: the network alone, libjpeg alone, one copy of the input."""

import io
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from PIL import Image

from app.faces.engine import Engine, Face, Pixels
from app.faces.engines.face_recognition import FaceRecognition
from app.faces.engines.onnx import OnnxEngine
from app.faces.engines.opencv import cv2
from app.faces.workers import decode, frames
from app.faces.workers.messages import MAX_IMAGE_BYTES, Measurement, MeasureRequest
from app.faces.workers.pool import MAX_PIXELS

Bounds = Mapping[str, Callable[[], Any]]

_MULTIPLE: Final = 32
"""YuNet is given a picture whose sides are multiples of it."""
_CHIP: Final = 150
"""Pixels of the upright face that dlib's network takes."""


def of(engine: Engine, image: bytes) -> Bounds:
    """Return the lower bound of each stage as a function, for one JPEG with one face."""
    picture = decode.decode(image, max_pixels=MAX_PIXELS, side=engine.side, reduce=engine.reduce)
    if not isinstance(picture, decode.Picture):
        raise SystemExit(picture)
    pixels = picture.pixels
    (face,) = engine.detect(pixels)
    top, right, bottom, left = face.box
    unpacked, sent = (
        np.asarray(libjpeg(image, engine.side)),
        frames.pack(MeasureRequest(image, keep_photo=False).frame()),
    )
    either: dict[str, Callable[[], Any]] = {
        "decode": lambda: libjpeg(image, engine.side),
        "reduce": unpacked.copy,
        "quality": pixels[max(top, 0) : bottom, max(left, 0) : right].copy,
        "wire": lambda: through_a_pipe(sent),
    }
    if isinstance(engine, OnnxEngine):
        return {**either, **_onnx(engine, pixels, face)}
    if isinstance(engine, FaceRecognition):
        return {**either, **_dlib(engine, pixels, face)}
    raise TypeError(engine)


def libjpeg(image: bytes, side: int) -> Image.Image:
    """Unpack a JPEG at the scale that suffices for *side*, and do nothing else."""
    opened = Image.open(io.BytesIO(image), formats=("JPEG",))
    scale = side / max(opened.size)
    opened.draft(None, (round(opened.width * scale), round(opened.height * scale)))
    opened.load()
    return opened


def exchange(image: bytes, answer: Measurement) -> None:
    """Send an image to a worker and its answer back: framed, through a pipe, read and taken out of the frame."""
    for frame in (MeasureRequest(image, keep_photo=False).frame(), answer.frame()):
        raw = frames.pack(frame)
        with _written(raw) as out:
            frames.read_frame(out.read, max_blob_bytes=MAX_IMAGE_BYTES)


def through_a_pipe(raw: bytes) -> None:
    """Send bytes through a pipe, and read them."""
    with _written(raw) as out:
        out.read(len(raw))


def _written(raw: bytes) -> io.BufferedReader:
    """Return the end of a pipe that another thread writes *raw* to."""
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb") as into:  # noqa: PTH123 - a descriptor
            into.write(raw)

    threading.Thread(target=write).start()
    return open(reading, "rb")  # noqa: PTH123 - a descriptor, closed by the caller


def _onnx(engine: OnnxEngine, pixels: Pixels, face: Face) -> Bounds:
    """Return the two networks alone, on the input that they get, and the turn of the face alone."""
    settings = engine._settings  # noqa: SLF001 - it is the one measured
    files = engine.weights_files(settings)
    finder = cv2.dnn.readNetFromONNX(next(str(path) for name, path in files.items() if "yunet" in name))
    scale = min(1.0, settings["detect_side"] / max(pixels.shape))
    sides = [-(-round(side * scale) // _MULTIPLE) * _MULTIPLE for side in pixels.shape[:2]]
    picture = np.full((1, 3, *sides), 128, dtype=np.float32)
    outputs = [f"{kind}_{stride}" for stride in (8, 16, 32) for kind in ("cls", "obj", "bbox", "kps")]
    describer = cv2.dnn.readNetFromONNX(str(files[settings["weights"]]))
    size = settings["size"]
    upright = np.full((1, 3, size, size), 128, dtype=np.float32)
    turn = cv2.estimateAffinePartial2D(np.array(face.points), np.array(face.points) / 4)[0]

    def run(network: Any, blob: Any, name: str, *ask: Any) -> None:  # noqa: ANN401 - OpenCV carries no types
        network.setInput(blob, name)
        network.forward(*ask)

    return {
        "detect": lambda: run(finder, picture, "input", outputs),
        "align": lambda: cv2.warpAffine(pixels, turn, (112, 112)),
        "embed": lambda: run(describer, upright, settings["input"]),
    }


def _dlib(engine: FaceRecognition, pixels: Pixels, face: Face) -> Bounds:
    """Return the search alone, without the five points, and the network alone, on a face that is upright already."""
    top, right, bottom, left = face.box
    upright = np.asarray(Image.fromarray(pixels).crop((left, top, right, bottom)).resize((_CHIP, _CHIP)))
    # The engine's own detector and network are measured.
    return {
        "detect": lambda: engine._find(pixels, 0),  # noqa: SLF001
        "embed": lambda: engine._describe(upright),  # noqa: SLF001
    }
