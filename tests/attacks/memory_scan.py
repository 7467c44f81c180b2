"""The memory of another process, read as root reads it, and searched for secrets."""

from collections.abc import Iterable, Mapping
from pathlib import Path

WINDOW_BYTES = 48
WINDOWS = 12
"""Pieces of a photo that are searched for."""


def read_memory(pid: int) -> bytes:
    """Return everything that the process can read and has in memory; its regions follow each other."""
    regions = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text("utf-8").splitlines():
            span, rights, *_ = line.split()
            if rights.startswith("r") and "[vvar" not in line and "[vsyscall]" not in line:
                start, end = (int(bound, 16) for bound in span.split("-"))
                memory.seek(start)
                try:
                    regions.append(_read(memory, end - start))
                except OSError:  # a mapping beyond the end of its file
                    continue
    return b"\0\0".join(regions)


def _read(memory: object, size: int) -> bytes:
    pieces = []
    while size and (piece := memory.read(size)):  # type: ignore[attr-defined]
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
