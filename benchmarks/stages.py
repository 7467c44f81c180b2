"""A worker's processing of one image, stage by stage, and the lower bound of each stage.

The real `pipeline.measure` runs here with a clock at its joints; then each bound alone. All of it is processor time of
this process, which other programs affect only through the caches. It answers JSON lines (`benchmarks.json_process`), on
one thread as in a worker, without a sandbox.
"""

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest import mock

from PIL import Image

from app import main
from app.faces.cards.card import load_card
from app.faces.engine import Engine
from app.faces.workers import decode, pipeline, worker
from app.faces.workers.converted_network import use_converted
from app.faces.workers.messages import Measurement
from app.faces.workers.pool import MAX_PIXELS
from benchmarks import stage_bounds
from benchmarks.json_process import answer

STAGES: Final = ("decode", "reduce", "detect", "quality", "align", "embed", "the worker's own", "wire")

DATA: Final = Path("build") / "benchmarks"
"""Holds the converted network."""


class Clock:
    """Processor seconds by stage, each without the stages inside it."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._inside = [0.0]

    def at(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function*, watched."""

        def watched(*args: Any, **named: Any) -> Any:  # noqa: ANN401
            self._inside.append(0.0)
            began = time.process_time()
            result = function(*args, **named)
            took = time.process_time() - began
            self.spent[stage] += took - self._inside.pop()
            self._inside[-1] += took
            return result

        return watched


@functools.cache
def engine_of(name: str) -> Engine:
    """Load an engine as a worker does."""
    card = use_converted(load_card(name), DATA)
    engine = worker.load_engine(main.engine_of(card), card.digests, card.settings)
    decode.harden()
    pipeline.warm_up(engine, MAX_PIXELS)
    return engine


@contextmanager
def watching(engine: Engine, clock: Clock) -> Iterator[None]:
    """Put the clock at the joints of the pipeline."""
    joints: list[tuple[Any, str, str]] = [
        (pipeline, "check", "decode"),
        (decode.UploadedPhoto, "decode", "decode"),
        (engine, "reduce", "reduce"),
        (engine, "detect", "detect"),
        (pipeline, "measure_quality", "quality"),
        (engine, "measure_appearance", "quality"),
        (engine, "embed", "embed"),
    ]
    with ExitStack() as patched:
        for owner, name, stage in joints:
            patched.enter_context(mock.patch.object(owner, name, clock.at(stage, getattr(owner, name))))
        if (aligner := getattr(engine, "_aligner", None)) is not None:
            watched = SimpleNamespace(alignCrop=clock.at("align", aligner.alignCrop))
            patched.enter_context(mock.patch.object(engine, "_aligner", watched))
        yield


def steps(*, engine: str, path: str) -> dict[str, float]:
    """Return the processor seconds of each stage of one image."""
    image, clock = Path(path).read_bytes(), Clock()
    with watching(engine_of(engine), clock):
        measured = clock.at("the worker's own", pipeline.measure)(
            engine_of(engine), image, keep_photo=False, max_pixels=MAX_PIXELS
        )
    if not isinstance(measured, Measurement):
        raise SystemExit(str(measured))
    clock.at("wire", stage_bounds.exchange)(image, measured)
    return {stage: clock.spent[stage] for stage in STAGES}


def least(*, engine: str, path: str) -> dict[str, float]:
    """Return the processor seconds of the bound of each stage that has one."""
    image = Path(path).read_bytes()
    clock = Clock()
    for stage, bound in stage_bounds.of(engine_of(engine), image).items():
        bound()  # warms up
        clock.at(stage, bound)()
    return dict(clock.spent)


def loop(*, engine: str, paths: list[str], times: int) -> float:
    """Measure the images over and over, as a worker without a service would; return the seconds that passed."""
    images = [Path(path).read_bytes() for path in paths]
    loaded = engine_of(engine)
    began = time.perf_counter()
    for _ in range(times):
        for image in images:
            pipeline.measure(loaded, image, keep_photo=False, max_pixels=MAX_PIXELS)
    return time.perf_counter() - began


if __name__ == "__main__":
    Image.preinit()
    answer({"steps": steps, "least": least, "loop": loop})
