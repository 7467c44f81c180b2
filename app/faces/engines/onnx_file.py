"""Write a network as an ONNX file, with the few fields that OpenCV needs (github.com/onnx/onnx, `onnx.proto`).

An ONNX file is a protobuf message. A field is a number and a kind in one varint, then a varint, or a length and bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Value: TypeAlias = int | bytes | str

_IR_VERSION: Final = 8
_OPERATORS: Final = 13
_FLOAT, _INT64 = 1, 7
_ATTRIBUTE_OF_INTEGERS: Final = 7
_MORE: Final = 0x80
"""Bit of each byte of a varint but the last."""


class OnnxFile:
    """A network that is built node by node. Each node has one output, whose name it returns."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []

    def add(self, operator: str, *inputs: str, **attributes: Sequence[int]) -> str:
        """Append a node and return the name of its output."""
        output = f"{operator.lower()}_{len(self._nodes)}"
        members = [
            _message((1, name), *_repeated(8, numbers), (20, _ATTRIBUTE_OF_INTEGERS))
            for name, numbers in attributes.items()
        ]
        self._nodes.append(_message(*_repeated(1, inputs), (2, output), (4, operator), *_repeated(5, members)))
        return output

    def constant(self, array: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> str:
        """Add an array and return its name."""
        name, kind = f"constant_{len(self._constants)}", _INT64 if array.dtype == np.int64 else _FLOAT
        raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
        self._constants.append(_message(*_repeated(1, array.shape), (2, kind), (8, name), (9, raw)))
        return name

    def encode(self, source: tuple[str, Sequence[int]], result: tuple[str, Sequence[int]]) -> bytes:
        """Return the file, from the input to the output, each with its name and shape."""
        ends = (11, _tensor(*source)), (12, _tensor(*result))
        graph = _message(*_repeated(1, self._nodes), (2, self._name), *_repeated(5, self._constants), *ends)
        return _message((1, _IR_VERSION), (7, graph), (8, _message((1, ""), (2, _OPERATORS))))


def _tensor(name: str, shape: Sequence[int]) -> bytes:
    sizes = _message(*((1, _message((1, size))) for size in shape))
    return _message((1, name), (2, _message((1, _message((1, _FLOAT), (2, sizes))))))


def _repeated(number: int, values: Iterable[Value]) -> Iterator[tuple[int, Value]]:
    return ((number, value) for value in values)


def _message(*fields: tuple[int, Value]) -> bytes:
    """Encode fields, each with its number."""
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: Value) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    pieces = bytearray()
    while value >= _MORE:
        pieces.append(value % _MORE | _MORE)
        value //= _MORE
    return bytes((*pieces, value))
