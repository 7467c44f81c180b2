"""Messages between the API process and an engine worker, and the checks on a worker's replies.

Order: ``StartRequest`` →, ← ``ReadyReply`` or a refusal. Then, for each image: ``MeasureRequest`` →, ← ``Measurement``
or ``Flaw``. When no image waits: ``forget_frame`` →, ← the same.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from app.faces.engine import Vector
from app.faces.flaws import Flaw
from app.faces.permit import PhotoUse
from app.faces.workers.frames import Frame, FrameError

MAX_IMAGE_BYTES: Final = 16 * 1024 * 1024
"""More than the API accepts (`MIEN_MAX_PHOTO_BYTES`, 12 MiB by default)."""
MAX_REPLY_BLOB_BYTES: Final = 4 * 1024 * 1024
"""A kept photo of 1280 px takes about 0.4 MB; a vector, 8 bytes a dimension."""
_FACE_MEASURES: Final = ("brightness", "glare", "eye_distance", "sharpness", "yaw", "foreshortening", "eye_detail")
QUALITY_NAMES: Final = frozenset((*_FACE_MEASURES, "upright", "eyes_visible", "mouth_visible"))
SANDBOX_PROTECTIONS: Final = (
    "limits",
    "no_new_privileges",
    "no_capabilities",
    "dies_with_parent",
    "unreadable",
    "system_call_filter",
)
"""Protections of a full sandbox, in the order of the reply."""
START_REFUSALS: Final = {
    "weights_missing": "a file of the engine's weights is missing",
    "weights_differ": "a file of the engine's weights is not the one on its card",
    "engine_unusable": "the engine does not load, or does not run inside the sandbox and its memory limit",
    "vector_unusable": "the engine's vector of a grey picture has another length than on its card, or is zeros or NaN",
    "protocol": "the worker and the service use different protocols",
}


@dataclass(frozen=True, slots=True)
class StartRequest:
    """First frame to a worker: its engine and limits."""

    engine: str
    """``module:Class``."""
    digests: Mapping[str, str]
    """SHA-256 of each file that the engine may load, by name."""
    settings: Mapping[str, Any]
    """Settings of the engine, from its card."""
    memory_bytes: int
    max_pixels: int

    def frame(self) -> Frame:
        """Encode as a frame."""
        return Frame({"kind": "start", **asdict(self)})

    @classmethod
    def from_frame(cls, frame: Frame) -> "StartRequest":
        """Decode a frame."""
        return cls(
            engine=frame.text("engine"),
            digests={name: str(digest) for name, digest in frame.mapping("digests").items()},
            settings=frame.mapping("settings"),
            memory_bytes=frame.integer("memory_bytes"),
            max_pixels=frame.integer("max_pixels"),
        )


@dataclass(frozen=True, slots=True)
class ReadyReply:
    """First frame of a worker that has loaded its engine and entered the sandbox."""

    engine_id: str
    dimensions: int
    weights_sha256: str
    missing: tuple[str, ...]
    """Protections of the sandbox that this machine lacks."""

    def frame(self) -> Frame:
        """Encode as a frame."""
        walls = {name: name not in self.missing for name in SANDBOX_PROTECTIONS}
        members = {"engine_id": self.engine_id, "dimensions": self.dimensions, "weights": self.weights_sha256}
        return Frame({"kind": "hello", **members, "walls": walls})

    @classmethod
    def from_frame(cls, frame: Frame) -> "ReadyReply":
        """Decode a frame. A protection that the worker does not confirm is missing."""
        walls = frame.mapping("walls")
        missing = tuple(name for name in SANDBOX_PROTECTIONS if walls.get(name) is not True)
        return cls(frame.text("engine_id"), frame.integer("dimensions"), frame.text("weights"), missing)


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """One image to measure."""

    image: bytes
    keep_photo: bool
    use: PhotoUse = PhotoUse.ENROLMENT

    def frame(self) -> Frame:
        """Encode as a frame."""
        return Frame({"kind": "ask", "keep_photo": self.keep_photo, "use": self.use}, (self.image,))

    @classmethod
    def from_frame(cls, frame: Frame) -> "MeasureRequest":
        """Decode a frame."""
        (image,) = frame.blobs
        return cls(image, frame.header.get("keep_photo") is True, PhotoUse(frame.text("use")))


@dataclass(frozen=True, slots=True)
class Measurement:
    """Features of one good face."""

    vector: Vector
    quality: Mapping[str, float]
    """By the names in ``QUALITY_NAMES``; ``docs/explanation/faces.md`` explains each."""
    photo: bytes | None = None
    """The photo as a new JPEG without metadata; only under a permit that keeps photos."""

    def frame(self) -> Frame:
        """Encode as a frame."""
        vector = struct.pack(f"<{len(self.vector)}d", *self.vector)
        blobs = (vector,) if self.photo is None else (vector, self.photo)
        return Frame({"kind": "measured", "quality": dict(self.quality)}, blobs)


def forget_frame() -> Frame:
    """Encode the request to overwrite the engine's memory of the last face, and the reply to it."""
    return Frame({"kind": "forget"})


def flaw_frame(flaw: Flaw) -> Frame:
    """Encode *flaw* as a frame."""
    return Frame({"kind": "flaw", "code": flaw.value})


def refusal_frame(code: str) -> Frame:
    """Encode the only frame of a worker that cannot serve; *code* is one of ``START_REFUSALS``."""
    return Frame({"kind": "refusal", "code": code})


def parse_reply(frame: Frame, *, dimensions: int, keep_photo: bool) -> Measurement | Flaw:
    """Decode and check a worker's answer to one image.

    Raises:
        FrameError: it has another form or other contents than the request allows.
    """
    match frame.text("kind"):
        case "flaw" if not frame.blobs:
            return _flaw(frame.text("code"))
        case "measured" if len(frame.blobs) == 1 + keep_photo:
            return Measurement(
                vector=_vector(frame.blobs[0], dimensions),
                quality=_quality(frame.mapping("quality")),
                photo=_photo(frame.blobs[1]) if keep_photo else None,
            )
    raise FrameError("kind")


def _flaw(text: str) -> Flaw:
    try:
        return Flaw(text)
    except ValueError as error:
        raise FrameError("code") from error


def _vector(blob: bytes, dimensions: int) -> Vector:
    if len(blob) != 8 * dimensions:
        raise FrameError("vector length")
    vector = struct.unpack(f"<{dimensions}d", blob)
    if not all(map(math.isfinite, vector)):
        raise FrameError("vector not finite")
    if not any(vector):
        raise FrameError("vector of zeros")
    return vector


def _quality(members: Mapping[str, object]) -> dict[str, float]:
    if members.keys() != QUALITY_NAMES:
        raise FrameError("quality names")
    quality = {name: float(value) for name, value in members.items() if isinstance(value, int | float)}
    if len(quality) != len(QUALITY_NAMES) or not all(map(math.isfinite, quality.values())):
        raise FrameError("quality values")
    return quality


def _photo(blob: bytes) -> bytes:
    if not blob.startswith(b"\xff\xd8\xff"):
        raise FrameError("photo")
    return blob
