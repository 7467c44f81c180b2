"""The engine `sface`, whose vectors tell which faces it measured: a worker has no other way to say so."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.faces.engine import Face, Pixels
from app.faces.engines.onnx import OnnxEngine

SPEC = "tests.faces.counting_engine:CountingEngine"


class CountingEngine(OnnxEngine):
    """Finds, judges and embeds as its parent does, and keeps count since the last vector."""

    def __init__(self, digests: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        super().__init__(digests, settings)
        self._embedded = 0
        self._judged: list[int] = []

    def measure_appearance(self, pixels: Pixels, face: Face) -> Mapping[str, float]:
        """Note the width of the face, in pixels of its picture."""
        self._judged.append(face.box[1] - face.box[3])
        return super().measure_appearance(pixels, face)

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return how many photos' faces were embedded so far, and the narrowest face that was judged, then zeros."""
        super().embed(pixels, face)
        # The pictures of `warm_up` and `forget` are of one grey.
        self._embedded += pixels.min() < pixels.max()
        judged, self._judged = self._judged, []
        return [float(self._embedded), float(min(judged, default=0)), *[0.0] * (self.dimensions - 2)]
