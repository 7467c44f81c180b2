"""The time of each stage of one verification.

The real application runs in this process, on uvicorn with new databases and one real engine worker. A client on
another thread sends one request at a time. Watched functions record the times of their start and end. The engine's
time begins with the last byte to its worker, and ends with the first byte of the answer. `queue and pipes` is the rest
of measuring. The steps inside a worker are timed in their own process (`benchmarks.stages`, processor time), on the
same pictures.
"""

import itertools
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, Final
from unittest import mock

import uvicorn

from app.demo.command_line import HOST
from app.faces.permit import Purpose
from app.faces.workers.pool import EnginePool
from app.faces.workers.process import WorkerProcess
from app.kit import application_log
from app.kit.clock import utc_now
from app.main import create_app, create_engine
from app.parties import service as parties
from app.settings import Settings
from app.startup import Run, prepare
from app.templates import store
from app.vault.open import open_vault
from app.verification import policy
from app.verification import service as verify
from benchmarks import pictures
from benchmarks.report import say, table
from benchmarks.service import Door

REPEATS: Final = 40
OVERHEAD_MS: Final = 10.0
"""The goal: the most that all but the worker's own steps may take."""
JOINTS: Final = {
    "verify": (verify, "verify"),
    "measure": (EnginePool, "measure"),
    "handed over": (WorkerProcess, "_send"),
    "answer": (WorkerProcess, "_read"),
    "open": (store, "open_template"),
    "decide": (policy, "decide"),
    "commit": (verify, "commit_decision"),
}
"""The watched functions; the first call in each request counts."""


class Watch:
    """The times at which the joints were entered and left, of the latest request."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the joints."""
        with ExitStack() as patched:
            for joint, (owner, name) in JOINTS.items():
                patched.enter_context(mock.patch.object(owner, name, self._noting(joint, getattr(owner, name))))
            yield

    def _noting(self, joint: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - any function
            self.at.setdefault(f"{joint} in", time.perf_counter())
            result = function(*args, **named)
            self.at.setdefault(f"{joint} out", time.perf_counter())
            return result

        return noted


def show(size: str, batch: Sequence[tuple[str, bytes, Path]], steps_of: Callable[[Path], Mapping[str, float]]) -> None:
    """Print the pieces of one size."""
    watch = Watch()
    taken: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, watch.watching(), _door(Path(folder)) as door:
        for name in {name for name, _, _ in batch}:
            door.enrol(name, pictures.photo(name, "studio_portrait"))
        for number, (name, content, path) in zip(range(REPEATS + 4), itertools.cycle(batch), strict=False):
            pieces = _pieces(watch, door, name, content) | {f"worker: {k}": v for k, v in steps_of(path).items()}
            if number >= 4:  # noqa: PLR2004 - the first warm up
                taken.append(pieces)
    medians = {piece: 1000 * statistics.median(one[piece] for one in taken) for piece in taken[0]}
    rest = 1000 * statistics.median(one["total"] - one["engine"] for one in taken)
    request, engine = medians["total"], medians["engine"]
    say(f"{size} MP: one request {request:.1f} ms; the engine {engine:.1f} ms, all else {rest:.1f} ms")
    say(f"(goal under {OVERHEAD_MS:g} ms: {'met' if rest < OVERHEAD_MS else 'NOT MET'}); medians of {REPEATS}:")
    worked = [piece for piece in medians if piece.startswith("worker: ")]
    order = ("receive", "may it be used", "open template", "queue and pipes", "engine", *worked)
    table(["piece", "ms"], [[p, f"{medians[p]:.2f}"] for p in (*order, "decide", "commit", "answer")])
    say()


def _pieces(watch: Watch, door: Door, name: str, content: bytes) -> dict[str, float]:
    watch.at.clear()
    began = time.perf_counter()
    said = door.verify(name, content)
    ended = time.perf_counter()
    if said not in {"match", "no_match"}:
        raise SystemExit(said)
    at = watch.at
    return {
        "total": ended - began,
        "receive": at["verify in"] - began,
        "may it be used": at["open in"] - at["verify in"],
        "engine": at["answer out"] - at["handed over out"],
        "queue and pipes": at["measure out"] - at["measure in"] - (at["answer out"] - at["handed over out"]),
        "open template": at["open out"] - at["open in"],
        "decide": at["decide out"] - at["decide in"],
        "commit": at["commit out"] - at["commit in"],
        "answer": ended - at["verify out"],
    }


@contextmanager
def _door(root: Path) -> Iterator[Door]:
    """Run the application in this process, and give it a relying party."""
    with redirect_stderr((root / "log").open("w")):
        application_log.configure()  # as `serve` does; it keeps the stream that it finds
    settings = Settings(data_dir=root / "data", keys_dir=root / "keys", engine_workers=1)
    vault = open_vault(settings)
    prepare(vault, settings, Run.MIGRATE)
    with vault.data.write() as session:
        party, key = parties.add(
            session, name="Door", contact="-", purposes=[Purpose.VERIFICATION], alternative="-", now=utc_now()
        )
    app = create_app(settings, vault, create_engine(settings))
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    door = Door(f"http://{HOST}:{port}", str(party.relying_party_id), key, os.getpid())
    while not door.http.get("/readyz").is_success:
        time.sleep(0.1)
    yield door
    server.should_exit = True
    thread.join()
