"""The memory of another process, read as root reads it, and searched for secrets."""

from collections.abc import Iterable, Iterator, Mapping
from io import FileIO
from pathlib import Path

WINDOW_BYTES = 48
WINDOWS = 12
"""Pieces of a photo that are searched for."""


def read_memory(pid: int, *, dumped_only: bool = False) -> bytes:
    """Return everything that the process can read and has in memory; its regions follow each other.

    Args:
        pid: the process.
        dumped_only: leave out the regions that a core dump does not contain.
    """
    regions = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end, flags in _regions(pid):
            if "rd" not in flags or "io" in flags or (dumped_only and "dd" in flags):
                continue
            memory.seek(start)
            try:
                regions.append(_read(memory, end - start))
            except OSError:  # a mapping beyond the end of its file
                continue
    return b"\0\0".join(regions)


def _regions(pid: int) -> Iterator[tuple[int, int, set[str]]]:
    """Yield the bounds and the flags of each region."""
    bounds = (0, 0)
    for line in Path(f"/proc/{pid}/smaps").read_text("utf-8").splitlines():
        name, *rest = line.split()
        if name == "VmFlags:":
            yield *bounds, set(rest)
        elif "-" in name and not name.endswith(":"):
            start, end = (int(bound, 16) for bound in name.split("-"))
            bounds = (start, end)


def _read(memory: FileIO, size: int) -> bytes:
    pieces = []
    while size and (piece := memory.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def windows(content: bytes) -> list[bytes]:
    """Return pieces of *content*, evenly spread, that are like no other bytes."""
    step = max(WINDOW_BYTES, len(content) // WINDOWS)
    pieces = [content[at : at + WINDOW_BYTES] for at in range(0, len(content) - WINDOW_BYTES, step)]
    return [piece for piece in pieces if len(set(piece)) > WINDOW_BYTES // 3]


def share_found(memory: bytes, pieces: Iterable[bytes]) -> float:
    """Return the share of *pieces* that *memory* holds."""
    found = [piece in memory for piece in pieces]
    return sum(found) / len(found)


def count(memory: bytes, secrets: Mapping[str, bytes]) -> dict[str, int]:
    """Return how often *memory* holds each secret."""
    return {name: memory.count(secret) for name, secret in secrets.items()}
