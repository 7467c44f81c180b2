"""What the API process and an engine worker say to each other, and the checks on what a worker says.

Order: ``Start`` →, ← ``Hello`` or ``Refusal``; then, for each image, ``Ask`` →, ← ``Measured`` or ``Flaw``.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.faces.engine import Vector
from app.faces.flaws import Flaw
from app.faces.workers.frames import Frame, FrameError

MAX_IMAGE_BYTES: Final = 16 * 1024 * 1024
"""Above what the API lets in (12 MiB a file)."""
MAX_REPLY_BLOB_BYTES: Final = 4 * 1024 * 1024
"""A kept photo of 1280 px takes some 0.4 MB; a vector, 8 bytes a dimension."""
QUALITY_NAMES: Final = frozenset(
    ("brightness", "glare", "eye_distance", "sharpness", "yaw", "foreshortening", "eye_shade", "mouth_tint")
)
SANDBOX_PIECES: Final = ("limits", "no_new_privileges", "dies_with_parent", "unreadable", "system_call_filter")
"""The walls of a full sandbox, in the order they go up."""
REFUSALS: Final = {
    "weights_missing": "a file of the engine's weights is missing",
    "weights_differ": "a file of the engine's weights is not the one on its card",
    "engine_unusable": "the engine does not load, or does not run inside the sandbox and its memory limit",
    "vector_unusable": "of a grey picture the engine makes no vector: not as long as on its card, zeros, or NaN",
    "protocol": "the worker and the service do not understand each other",
}


@dataclass(frozen=True, slots=True)
class StartRequest:
    """The first frame to a worker: what to become."""

    engine: str
    """``module:Class``."""
    digests: Mapping[str, str]
    """SHA-256 of each file the engine may load, by name; any other does not load."""
    settings: Mapping[str, Any]
    """How the engine is run, from its card."""
    memory_bytes: int
    max_pixels: int

    def frame(self) -> Frame:
        """Return it as a frame."""
        names = ("engine", "digests", "settings", "memory_bytes", "max_pixels")
        return Frame({"kind": "start", **{name: getattr(self, name) for name in names}})

    @classmethod
    def of(cls, frame: Frame) -> "StartRequest":
        """Read it from a frame."""
        digests = {name: str(digest) for name, digest in frame.mapping("digests").items()}
        return cls(
            engine=frame.text("engine"),
            digests=digests,
            settings=frame.mapping("settings"),
            memory_bytes=frame.whole("memory_bytes"),
            max_pixels=frame.whole("max_pixels"),
        )


@dataclass(frozen=True, slots=True)
class ReadyReply:
    """A worker's first frame when it is loaded, warm and sealed."""

    engine_id: str
    dimensions: int
    weights_sha256: str
    missing: tuple[str, ...]
    """Pieces of the sandbox that this machine did not give."""

    def frame(self) -> Frame:
        """Return it as a frame."""
        walls = {piece: piece not in self.missing for piece in SANDBOX_PIECES}
        members = {"engine_id": self.engine_id, "dimensions": self.dimensions, "weights": self.weights_sha256}
        return Frame({"kind": "hello", **members, "walls": walls})

    @classmethod
    def of(cls, frame: Frame) -> "ReadyReply":
        """Read it from a frame. A wall that is not said to stand is missing."""
        walls = frame.mapping("walls")
        missing = tuple(piece for piece in SANDBOX_PIECES if walls.get(piece) is not True)
        return cls(frame.text("engine_id"), frame.whole("dimensions"), frame.text("weights"), missing)


@dataclass(frozen=True, slots=True)
class RefusalReply:
    """A worker's only frame when it cannot serve: one of ``REFUSALS``, so that nothing personal gets out."""

    code: str

    def frame(self) -> Frame:
        """Return it as a frame."""
        return Frame({"kind": "refusal", "code": self.code})


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """One image to be measured."""

    image: bytes
    keep_photo: bool

    def frame(self) -> Frame:
        """Return it as a frame."""
        return Frame({"kind": "ask", "keep_photo": self.keep_photo}, (self.image,))

    @classmethod
    def of(cls, frame: Frame) -> "MeasureRequest":
        """Read it from a frame."""
        (image,) = frame.blobs
        return cls(image, frame.header.get("keep_photo") is True)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a worker gives back for one good face."""

    vector: Vector
    quality: Mapping[str, float]
    """By the names in ``QUALITY_NAMES``; ``docs/explanation/faces.md`` says what each is."""
    photo: bytes | None = None
    """The photo as a new JPEG that holds pixels and nothing else; only for a permit that keeps photos."""

    def frame(self) -> Frame:
        """Return it as a frame."""
        vector = struct.pack(f"<{len(self.vector)}d", *self.vector)
        blobs = (vector,) if self.photo is None else (vector, self.photo)
        return Frame({"kind": "measured", "quality": dict(self.quality)}, blobs)


def flaw_frame(flaw: Flaw) -> Frame:
    """Return *flaw* as a frame."""
    return Frame({"kind": "flaw", "code": flaw.value})


def parse_reply(frame: Frame, *, dimensions: int, keep_photo: bool) -> Measurement | Flaw:
    """Read a worker's answer, believing nothing.

    Raises:
        FrameError: unless it has the form, and only the contents, that were asked for.
    """
    match frame.text("kind"):
        case "flaw" if not frame.blobs:
            return Flaw(_flaw_code(frame.text("code")))
        case "measured" if len(frame.blobs) == 1 + keep_photo:
            return Measurement(
                vector=_vector(frame.blobs[0], dimensions),
                quality=_quality(frame.mapping("quality")),
                photo=_photo(frame.blobs[1]) if keep_photo else None,
            )
    raise FrameError("kind")


def _flaw_code(text: str) -> Flaw:
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
