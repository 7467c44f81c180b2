"""Two ONNX networks describe one face. The vector is both of length 1, each times the root of its weight."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.faces.engine import Face, Pixels
from app.faces.engines.onnx import OnnxEngine


class FusedNetworks:
    """Finds faces as the first network's settings say, and describes each with both networks.

    Settings on the card: ``networks``, two of ``weight`` and ``settings`` (those of `OnnxEngine`).
    """

    def __init__(self, digests: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        self.id: str = settings["id"]
        self.dimensions: int = settings["dimensions"]
        self.weights_sha256: str = settings["label_sha256"]
        self._networks = [(one["weight"], OnnxEngine(digests, one["settings"])) for one in settings["networks"]]
        _, self._finder = self._networks[0]
        self.side = self._finder.side
        self.detect = self._finder.detect
        self.search = self._finder.search
        self.reduce = self._finder.reduce
        self.measure_appearance = self._finder.measure_appearance

    @staticmethod
    def weights_files(settings: Mapping[str, Any]) -> Mapping[str, Path]:
        """Return the files of both networks."""
        first, second = (OnnxEngine.weights_files(one["settings"]) for one in settings["networks"])
        return {**first, **second}

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return the joined vector of *face*: zeros, which are refused, if either network gives no usable vector."""
        joined: list[float] = []
        for weight, network in self._networks:
            vector = network.embed(pixels, face)
            if len(vector) != network.dimensions or not any(vector):
                return [0.0] * self.dimensions
            joined += (math.sqrt(weight) * number for number in vector)
        return joined
