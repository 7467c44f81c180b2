"""Convert the models of `face_recognition`: the network to ONNX, for OpenCV, and dlib's detector to a file.

`python -m app.faces.engines.convert_dlib NAME` writes one of them to standard output. The bytes are always the same,
and their hash is on the engine's card. The layers are those of dlib's example `dnn_face_recognition_ex.cpp`.
"""

import sys
from pathlib import Path
from typing import Final

import dlib
import face_recognition_models  # only returns paths
import numpy as np

from app.faces.engines.converted_face_recognition import DETECTOR, NETWORK
from app.faces.engines.dlib_weights import DlibNetwork, read_network
from app.faces.engines.onnx_file import OnnxFile

CHIP_SIDE: Final = 150
"""Pixels of the upright face that the network takes."""
INPUT: Final = "chip"
_LEVELS: Final = ((3, False), (4, True), (3, True), (3, True), (1, True))
"""Residual blocks of each level, and whether its first block halves the picture."""


def convert(network: DlibNetwork) -> bytes:
    """Return the network as an ONNX file."""
    return _Conversion(network).build()


class _Conversion:
    """Builds the file from the input upwards, and follows the side and the channels of the picture."""

    def __init__(self, network: DlibNetwork) -> None:
        self._file = OnnxFile("dlib_face_recognition_resnet_model_v1")
        self._convolutions = iter(network.convolutions)
        self._dense = network.dense
        self._side = CHIP_SIDE
        self._channels = 3

    def build(self) -> bytes:
        file = self._file
        picture = file.add("Relu", self._convolve(INPUT))
        picture = file.add("MaxPool", picture, kernel_shape=(3, 3), strides=(2, 2))
        self._side = (self._side - 1) // 2
        for blocks, halves in _LEVELS:
            for number in range(blocks):
                parts = self._halve(picture) if halves and number == 0 else (self._block(picture), picture)
                picture = file.add("Relu", file.add("Add", *parts))
        features = file.add("Flatten", file.add("GlobalAveragePool", picture))
        features = file.add("Gemm", features, file.constant(self._dense))
        return file.encode((INPUT, (1, 3, CHIP_SIDE, CHIP_SIDE)), (features, (1, self._dense.shape[1])))

    def _halve(self, picture: str) -> tuple[str, str]:
        """Return a block of half the side and the means of four pixels; dlib takes a missing number for zero."""
        half, channels = self._side // 2, self._channels
        means = self._file.add("AveragePool", picture, kernel_shape=(2, 2), strides=(2, 2))
        block = self._block(picture)
        means = self._pad(means, channels=self._channels - channels)
        block = self._pad(block, side=half - self._side)
        self._side = half
        return block, means

    def _block(self, picture: str) -> str:
        return self._convolve(self._file.add("Relu", self._convolve(picture)))

    def _convolve(self, picture: str) -> str:
        layer = next(self._convolutions)
        self._channels, _, side, _ = layer.weights.shape
        self._side = (self._side + 2 * layer.padding - side) // layer.stride + 1
        constants = self._file.constant(layer.weights), self._file.constant(layer.bias)
        shape = {"kernel_shape": (side, side), "strides": (layer.stride,) * 2, "pads": (layer.padding,) * 4}
        return self._file.add("Conv", picture, *constants, **shape)

    def _pad(self, picture: str, *, channels: int = 0, side: int = 0) -> str:
        if not channels and not side:
            return picture
        return self._file.add("Pad", picture, self._file.constant(np.array([0, 0, 0, 0, 0, channels, side, side])))


def main(name: str) -> None:
    """Write the copy *name*."""
    if name == NETWORK:
        weights = Path(face_recognition_models.face_recognition_model_location())
        sys.stdout.buffer.write(convert(read_network(weights.read_bytes())))
    elif name == DETECTOR:
        dlib.get_frontal_face_detector().save("/dev/stdout")
    else:
        sys.exit(f"there is no {name}")


if __name__ == "__main__":
    main(sys.argv[1])
