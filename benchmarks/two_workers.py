"""The gain of a second worker on a second core: the pool alone, without HTTP, beside processes without a pool."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

from app.faces.cards.card import load_card
from app.faces.permit import Permit
from app.faces.workers.converted_network import use_converted
from app.faces.workers.messages import Measurement
from app.faces.workers.pool import EnginePool
from app.main import engine_of
from benchmarks.json_process import JsonProcess
from benchmarks.stages import DATA

TIMES: Final = 8
"""How often a worker gets each picture in a round."""
_MEMORY_BYTES: Final = 1 << 30

Found = dict[str, list[float]]


def measured(engine: str, batch: Sequence[tuple[str, bytes, Path]], bare: Sequence[JsonProcess], rounds: int) -> Found:
    """Return the pictures a second of one and of two, with a pool and without; a value for each round."""
    images = [content for _, content, _ in batch] * TIMES
    paths = [str(path) for _, _, path in batch]
    found: Found = defaultdict(list)
    with ExitStack() as stack:
        pools = {count: stack.enter_context(_pool(engine, count)) for count in (1, 2)}
        for number in range(rounds + 1):
            for count in (1, 2):
                rates = {
                    f"pool {count}": _rate(pools[count], images, count),
                    f"loops {count}": _bare_rate(bare[:count], engine, paths),
                }
                for name, rate in rates.items() if number else ():  # the first round warms up
                    found[name].append(rate)
    return found


@contextmanager
def _pool(engine: str, workers: int) -> Iterator[EnginePool]:
    terms: dict[str, Any] = {"queue": workers, "memory_bytes": _MEMORY_BYTES}
    card = use_converted(load_card(engine), DATA)
    pool = EnginePool(engine=engine_of(card), card=card, workers=workers, timeout_s=60.0, **terms)
    pool.start()
    with closing(pool):
        while pool.status().workers < workers:
            time.sleep(0.05)
        yield pool


def _rate(pool: EnginePool, images: Sequence[bytes], workers: int) -> float:
    """Return the pictures a second of a pool that is kept busy: one caller for each worker."""

    def call() -> None:
        for image in images:
            (answer,) = pool.measure(Permit(grant_ids=()), [image])
            if not isinstance(answer, Measurement):
                raise SystemExit(str(answer))

    return workers * len(images) / _together([call] * workers)


def _bare_rate(bare: Sequence[JsonProcess], engine: str, paths: Sequence[str]) -> float:
    """Return the pictures a second of as many processes that share nothing but the machine."""

    def looping(aside: JsonProcess) -> Callable[[], object]:
        return lambda: aside.ask("loop", engine=engine, paths=paths, times=TIMES)

    return len(bare) * len(paths) * TIMES / _together([looping(aside) for aside in bare])


def _together(calls: Sequence[Callable[[], object]]) -> float:
    """Return the seconds until the last of *calls* is back, all begun at once."""
    with ThreadPoolExecutor(len(calls)) as threads:
        began = time.perf_counter()
        for waiting in [threads.submit(call) for call in calls]:
            waiting.result()
        return time.perf_counter() - began
