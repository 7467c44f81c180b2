"""OpenCV without the FFmpeg and OpenSSL libraries of its wheel, which an engine never calls.

`cv2` names these libraries as needed, so the loader would map them into every worker and run their start-up code. It
takes a loaded library of the same name instead. So empty ones are loaded first, from memory. OpenCV's own code is
unchanged. A call of a function that is missing ends the worker; only reading of videos makes such calls.
"""

import ctypes
import importlib.util
import mmap
import os
import platform
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from app.faces.engine import Pixels

_UNUSED: Final = (b"libavcodec-", b"libavformat-", b"libavutil-", b"libswscale-")
"""Beginnings of the names of FFmpeg's libraries; they need OpenSSL, libvpx, libdrm and libswresample."""
_NAMED: Final = (b"av_codec_is_decoder", b"av_codec_is_encoder", b"avcodec_default_get_format")
"""Functions whose addresses OpenCV stores when it is loaded. It looks for all others when it calls them."""
_MEAN_FROM: Final = 2.0
"""Factor from which a reduction without means would skip pixels."""
_HEADER_BYTES: Final = 64 + 3 * 56
_SYMBOL_BYTES: Final = 24
_GLOBAL_FUNCTION: Final = 0x12
_SHARED, _X86_64, _LOAD, _DYNAMIC, _STACK, _READ_WRITE = 3, 62, 1, 2, 0x6474E551, 6
_HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME = 4, 5, 6, 10, 11, 14


def leave_out_video() -> None:
    """Load empty libraries in the place of the unused ones. On other machines OpenCV loads its own."""
    found = importlib.util.find_spec("cv2")
    if (sys.platform, platform.machine()) != ("linux", "x86_64") or found is None or found.origin is None:
        return
    names = _needed_libraries(Path(found.origin).with_name("cv2.abi3.so"))
    # The loader knows a library by its path too, so each descriptor stays open until all are loaded.
    opened = []
    try:
        for soname, functions, mode in _libraries(names):
            opened.append(os.memfd_create("unused"))
            os.write(opened[-1], _empty_library(soname, functions))
            ctypes.CDLL(f"/proc/self/fd/{opened[-1]}", mode=mode)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _needed_libraries(module: Path) -> list[bytes]:
    """Return the names of the unused libraries that *module* needs; its table of names is near its end."""
    with module.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        starts = [content.rfind(b"\0" + beginning) + 1 for beginning in _UNUSED]
        return [content[start : content.find(b"\0", start)] for start in starts if start]


def _libraries(names: list[bytes]) -> Iterator[tuple[bytes, tuple[bytes, ...], int]]:
    yield from ((name, (), os.RTLD_LAZY) for name in names)
    # Under another name: OpenCV asks for a version of these functions, which a library of the right name must have.
    yield b"mien-unused.so", _NAMED, os.RTLD_LAZY | os.RTLD_GLOBAL


def _empty_library(soname: bytes, functions: tuple[bytes, ...]) -> bytes:
    """Return an ELF library of this name, for this processor, whose *functions* cannot be called."""
    names, symbols = b"\0" + soname + b"\0", bytes(_SYMBOL_BYTES)
    for function in functions:
        symbols += struct.pack("<IBBHQQ", len(names), _GLOBAL_FUNCTION, 0, 1, 8, 0)
        names += function + b"\0"
    symbols_at = _HEADER_BYTES
    names_at = symbols_at + len(symbols)
    hash_at = _aligned(names_at + len(names))
    table = _hash_table(1 + len(functions))
    dynamic_at = hash_at + len(table)
    entries = {
        _SONAME: 1,
        _STRTAB: names_at,
        _SYMTAB: symbols_at,
        _STRSZ: len(names),
        _SYMENT: _SYMBOL_BYTES,
        _HASH: hash_at,
        0: 0,
    }
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries.items())
    header = _header(dynamic_at, len(dynamic))
    return (header + symbols + names).ljust(hash_at, b"\0") + table + dynamic


def _hash_table(symbols: int) -> bytes:
    """Return a table with one bucket, in which each symbol leads to the next."""
    chain = [*range(2, symbols), 0] if symbols > 1 else []
    table = struct.pack(f"<{4 + len(chain)}I", 1, symbols, 1 if chain else 0, 0, *chain)
    return table.ljust(_aligned(len(table)), b"\0")


def _header(dynamic_at: int, dynamic_bytes: int) -> bytes:
    """Return the headers of the file and its segments: all of it, the part for the loader, and a plain stack."""
    end = dynamic_at + dynamic_bytes
    form = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    file = struct.pack("<16sHHIQQQIHHHHHH", form, _SHARED, _X86_64, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    segments = (
        (_LOAD, _READ_WRITE, 0, 0, 0, end, end, 0x10000),
        (_DYNAMIC, _READ_WRITE, dynamic_at, dynamic_at, dynamic_at, dynamic_bytes, dynamic_bytes, 8),
        (_STACK, _READ_WRITE, 0, 0, 0, 0, 0, 16),
    )
    return file + b"".join(struct.pack("<IIQQQQQQ", *segment) for segment in segments)


def _aligned(size: int) -> int:
    return -(-size // 8) * 8


leave_out_video()
_flags = sys.getdlopenflags()
# OpenCV looks for functions when it calls them, not when it is loaded.
sys.setdlopenflags(os.RTLD_LAZY)
import cv2  # noqa: E402 - after the empty libraries

sys.setdlopenflags(_flags)
# There is a worker for each core, so more threads would slow down the other workers.
cv2.setNumThreads(1)


def reduce_with_opencv(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Return the picture in a smaller size. Below half the size, each pixel is the mean of those that it replaces."""
    method = cv2.INTER_LINEAR if pixels.shape[1] < _MEAN_FROM * size[0] else cv2.INTER_AREA
    return np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)


__all__ = ["cv2", "reduce_with_opencv"]
