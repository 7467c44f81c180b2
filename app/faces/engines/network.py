"""A network in an ONNX file, run by OpenCV on one thread."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.faces.engine import Pixels
from app.faces.engines.opencv import cv2


class Network:
    """Gives the numbers of one crop.

    Args:
        path: the file, whose hash was checked.
        input_name: name of the network's input; empty if it has one only.
        mean: subtracted from each channel (0 to 255), in the order of the network.
        scale: multiplies the result: one number, or one for each channel.
        channels: ``rgb`` or ``bgr``.
    """

    def __init__(
        self, path: Path, *, input_name: str, mean: Sequence[float], scale: float | Sequence[float], channels: str
    ) -> None:
        self._input = input_name
        self._mean = mean
        self._scale = np.reshape(np.array(scale, dtype=np.float32), (1, -1, 1, 1))
        self._reverses = channels == "bgr"
        self._network = cv2.dnn.readNetFromONNX(str(path))

    def describe(self, crop: Pixels) -> npt.NDArray[np.float64]:
        """Return the numbers of *crop*, which has the size of the network's input."""
        blob = cv2.dnn.blobFromImage(crop, mean=self._mean, swapRB=self._reverses)
        self._network.setInput(blob * self._scale, self._input)
        return np.asarray(self._network.forward(), dtype=np.float64).ravel()
