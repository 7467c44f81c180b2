"""A running `mien serve` with the memory of a small machine, for the attacks; and measures of it from outside."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.launcher import HANG_S, Program, run_program

MEMORY_BYTES = 2 * 1024**3
"""Address space of the process that serves. An allocation beyond it fails, as in a container of 2 GiB."""
SLOWER = 40
"""The most by which an attack may multiply the median time of another person's request. It was more than 600."""
SETTINGS: dict[str, Any] = {
    "MIEN_ENGINE": "sface",
    "MIEN_ENGINE_WORKERS": "1",
    "MIEN_ENGINE_MEMORY_MIB": "2048",
    # Each thread of glibc may reserve 64 MiB of address space, which is no memory.
    "MALLOC_ARENA_MAX": "2",
}


@contextmanager
def limited_service(root: Path, **settings: str) -> Iterator[Program]:
    """Serve from the stores in *root* until the end of the block, with 2 GiB of address space."""
    root.mkdir(parents=True, exist_ok=True)
    under = ("prlimit", f"--as={MEMORY_BYTES}")
    with run_program(root, under=under, **(SETTINGS | settings)) as program:
        yield program


def resident_bytes(program: Program) -> int:
    """Return the memory of the process that serves, without its workers."""
    resident: int = psutil.Process(program.process.pid).memory_info().rss
    return resident


def is_up(program: Program) -> bool:
    """Return whether the process lives, is ready and answers."""
    with httpx.Client(base_url=program.client.base_url, timeout=HANG_S, trust_env=False) as fresh:
        return program.process.poll() is None and fresh.get("/readyz").status_code == httpx.codes.OK


@dataclass
class Watch:
    """The times of one request, repeated by another client during an attack."""

    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def ask(self, send: Callable[[], httpx.Response]) -> None:
        """Send the request once."""
        began = time.perf_counter()
        self.statuses.append(send().status_code)
        self.seconds.append(time.perf_counter() - began)

    def median(self) -> float:
        """Return the median time in seconds."""
        return statistics.median(self.seconds)


def repeat(send: Callable[[], httpx.Response], *, times: int) -> Watch:
    """Send a request some times, without an attack."""
    watch = Watch()
    for _ in range(times):
        watch.ask(send)
    return watch


@contextmanager
def watching(send: Callable[[], httpx.Response], *, pause_s: float = 0.05) -> Iterator[Watch]:
    """Send one request again and again until the end of the block; a failed connection raises at the end."""
    watch, ended, errors = Watch(), threading.Event(), []

    def run() -> None:
        while not ended.is_set():
            try:
                watch.ask(send)
            except httpx.TransportError as error:
                errors.append(error)
                return
            ended.wait(pause_s)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
    assert not errors, errors
