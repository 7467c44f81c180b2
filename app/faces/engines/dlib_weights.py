"""Read the network of `face_recognition` from dlib's own file format.

dlib writes a network from its input upwards. Each layer begins with a tag: its length, then the text. Integers have one
byte for their length and sign. A tensor is a version, four sizes, and little-endian 32-bit floats.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_TAGS: Final = {b"con_": "convolution", b"affine_": "affine", b"fc_": "dense"}
"""Beginnings of the tags of the layers that have weights."""
_TAG: Final = re.compile(rb"\x01([\x03-\x0c])(?=con_|affine_|fc_)")
_NEGATIVE: Final = 0x80
_LENGTH: Final = 0x0F


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution; the scale and shift of the affine layer after it are part of its weights."""

    weights: Floats
    """Shape ``(outputs, inputs, height, width)``."""
    bias: Floats
    stride: int
    padding: int


@dataclass(frozen=True, slots=True)
class DlibNetwork:
    """The layers with weights, from the input upwards."""

    convolutions: list[Convolution]
    dense: Floats
    """Shape ``(inputs, outputs)``."""


class _Reader:
    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self.at = at

    def integer(self) -> int:
        head = self._content[self.at]
        end = self.at + 1 + (head & _LENGTH)
        value = int.from_bytes(self._content[self.at + 1 : end], "little")
        self.at = end
        return -value if head & _NEGATIVE else value

    def integers(self, count: int) -> list[int]:
        return [self.integer() for _ in range(count)]

    def tensor(self) -> Floats:
        _version, *sizes = self.integers(5)
        numbers = np.frombuffer(self._content, "<f4", int(np.prod(sizes)), self.at)
        self.at += numbers.nbytes
        return numbers


def read_network(content: bytes) -> DlibNetwork:
    """Return the network in *content*, whose hash must be known: another file gives wrong numbers or any error."""
    convolutions: list[Convolution] = []
    dense: list[Floats] = []
    at = 0
    while (tag := _TAG.search(content, at)) is not None:
        reader = _Reader(content, tag.end() + tag.group(1)[0])
        match next(kind for start, kind in _TAGS.items() if content.startswith(start, tag.end())):
            case "convolution":
                convolutions.append(_convolution(reader))
            case "affine":
                convolutions[-1] = _scaled(convolutions[-1], reader.tensor())
            case _:
                outputs, inputs = reader.integers(2)
                dense.append(reader.tensor().reshape(inputs, outputs))
        at = reader.at
    (last,) = dense
    return DlibNetwork(convolutions, last)


def _convolution(reader: _Reader) -> Convolution:
    numbers = reader.tensor()
    outputs, height, width, stride, _, padding, _ = reader.integers(7)
    return Convolution(numbers[:-outputs].reshape(outputs, -1, height, width), numbers[-outputs:], stride, padding)


def _scaled(convolution: Convolution, affine: Floats) -> Convolution:
    """Return the convolution with a scale and a shift for each output, in double precision until the end."""
    scale, shift = affine.astype(np.float64).reshape(2, -1)
    return Convolution(
        (convolution.weights * scale[:, None, None, None]).astype(np.float32),
        (convolution.bias * scale + shift).astype(np.float32),
        convolution.stride,
        convolution.padding,
    )
