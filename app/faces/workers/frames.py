"""Frames between the API process and an engine worker: a JSON header and raw bytes, every length checked.

A worker reads hostile images and may be compromised; the API process holds keys. So a frame cannot run code (no
pickle) or allocate without bound. It holds only plain JSON values and ``bytes``.

    frame  = uint32 header length, header, blob, blob, …
    header = JSON object; its member ``blobs`` lists the length of each blob
"""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

MAX_HEADER_BYTES = 8 * 1024
MAX_BLOBS = 2
_LENGTH = struct.Struct(">I")
Member = TypeVar("Member")

Read: TypeAlias = Callable[[int], bytes]
"""Returns exactly that many bytes, or raises."""


class FrameError(ValueError):
    """The other side sent bytes that are no valid frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message."""

    header: dict[str, object]
    blobs: tuple[bytes, ...] = ()

    def text(self, name: str) -> str:
        """Return the member *name*, which must be a string."""
        return self._member(name, str)

    def integer(self, name: str) -> int:
        """Return the member *name*, which must be an integer, zero or more."""
        if (value := self._member(name, int)) < 0:
            raise FrameError(name)
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """Return the member *name*, which must be an object."""
        return self._member(name, dict)

    def _member(self, name: str, kind: type[Member]) -> Member:
        value = self.header.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):  # `bool` is a subclass of `int`
            raise FrameError(name)
        return value


def pack(frame: Frame) -> bytes:
    """Return the bytes of *frame*."""
    header = json.dumps({**frame.header, "blobs": [len(blob) for blob in frame.blobs]}, allow_nan=False).encode()
    return b"".join((_LENGTH.pack(len(header)), header, *frame.blobs))


def read_frame(read: Read, *, max_blob_bytes: int) -> Frame:
    """Read one frame. Checks each announced length before allocating.

    Raises:
        FrameError: it is malformed or exceeds a limit.
    """
    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    if length > MAX_HEADER_BYTES:
        raise FrameError("header length")
    header = _parse(read(length))
    lengths = header.pop("blobs", None)
    if not isinstance(lengths, list) or len(lengths) > MAX_BLOBS:
        raise FrameError("blobs")
    if not all(type(n) is int and 0 <= n <= max_blob_bytes for n in lengths):
        raise FrameError("blob length")
    return Frame(header, tuple(read(n) for n in lengths))


def _parse(raw: bytes) -> dict[str, object]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise FrameError("header") from error
    if not isinstance(header, dict):
        raise FrameError("header")
    return header
