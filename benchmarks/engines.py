"""Both engines and `face_recognition` by itself, on the same pictures in one run; where the milliseconds go.

    .venv/bin/python -m benchmarks.engines [ROUNDS [CLONE]]

CLONE is the directory of another version of Mien, whose services take part as "before".

In every round each contender gets its batch, in random order: the library in a loop, and a service over HTTP for each
engine, with one worker. In the same rounds the stages of a worker are timed in their own process, each beside its
lower bound (`benchmarks.stages`, `benchmarks.stage_bounds`). So is an application that only reads the body
(`benchmarks.empty_app`). Then two workers are compared with one, and all photos are compared by all of them.
"""

import itertools
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, chdir
from pathlib import Path
from typing import Final

import httpx

from app.faces.cards.card import load_card
from app.faces.cards.operating_point import find_operating_point
from app.main import ENGINES
from benchmarks import engine_tables, pictures, two_workers
from benchmarks.json_process import JsonProcess
from benchmarks.report import cpu_s, machine, say
from benchmarks.service import Door, Service
from benchmarks.verify import ENROLLED, PROBED, Picture, ready

ROUNDS: Final = 5
EACH: Final = 6
"""How often a service gets each person's picture in a round; the library gets it once, which takes as long."""
REFUSED: Final = "P005"
"""Whose selfie `sface` took for covered on 30 November 2026: a refusal is quicker than a comparison."""

Found = dict[str, list[float]]


class Bare:
    """The application that only takes the body in, and a client."""

    def __init__(self, port: int, pid: int) -> None:
        self.pid = pid
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)

    def verify(self, name: str, probe: bytes) -> str:
        """Send what `Door.verify` sends."""
        self._http.post("/", data={"subject_ref": name}, files={"probe": ("probe.jpg", probe)}).raise_for_status()
        return "-"


class Contest:
    """All contenders, each with the same people enrolled from the same photos."""

    def __init__(self, stock: JsonProcess, doors: Mapping[str, Door], bare: Bare) -> None:
        self.stock, self.doors, self.bare = stock, doors, bare
        self.threshold = find_operating_point(load_card("face_recognition")).threshold
        for name in pictures.DISTINCT + pictures.LOOK_ALIKES:
            for door in doors.values():
                door.enrol(name, pictures.photo(name, ENROLLED))
            stock.ask("learn", name=name, path=str(pictures.PEOPLE / name / f"{ENROLLED}.jpg"))

    def by_stock(self, name: str, path: Path) -> str:
        """Have the library decide whether the picture is of *name*."""
        decision: str = self.stock.ask("decide", name=name, path=str(path), threshold=self.threshold)
        return decision

    def rounds(self, batch: Sequence[Picture], aside: JsonProcess, rounds: int) -> Found:
        """Return what each contender took for a picture, a value for each round: seconds, and of processor."""
        contenders: dict[str, tuple[int, Callable[[Picture], str], int, int]] = {
            "library": (self.stock.pid, lambda picture: self.by_stock(picture[0], picture[2]), 1, 1),
            "bare": (self.bare.pid, lambda picture: self.bare.verify(*picture[:2]), 1, EACH),
        }
        for engine, door in self.doors.items():
            contenders[engine] = (door.pid, _asking(door), 1, EACH)
            if engine in ENGINES:
                contenders[f"{engine}, 2 clients"] = (door.pid, _asking(door), 2, EACH)
        found: Found = defaultdict(list)
        for number in range(rounds + 1):
            taken: dict[str, float] = {}
            for name in random.sample(list(contenders), len(contenders)):
                pid, decide, clients, times = contenders[name]
                taken |= _taken(name, pid, [*batch] * times, decide, clients)
            for engine in ENGINES:
                taken |= _stages(aside, engine, batch)
            for name, value in taken.items() if number else ():  # the first round warms up
                found[name].append(value)
        return found

    def decisions(self) -> list[engine_tables.Decided]:
        """Return what each contender decides about every photo and every reference."""
        people = pictures.DISTINCT + pictures.LOOK_ALIKES
        kinds = [(who, kind) for kind in (PROBED, "emo_happy") for who in people]
        probes = [(who, pictures.PEOPLE / who / f"{kind}.jpg") for who, kind in kinds]
        pairs = [(who, path, claimed) for who, path in probes if path.exists() for claimed in people]
        found = []
        for who, path, claimed in pairs:
            said = {engine: door.verify(claimed, path.read_bytes()) for engine, door in self.doors.items()}
            found.append(engine_tables.Decided(who, claimed, {"library": self.by_stock(claimed, path), **said}))
        return found


def _asking(door: Door) -> Callable[[Picture], str]:
    return lambda picture: door.verify(picture[0], picture[1])


def _taken(
    name: str, pid: int, batch: Sequence[Picture], decide: Callable[[Picture], str], clients: int
) -> dict[str, float]:
    """Return the wall-clock and the processor time of a contender for one picture of *batch*."""
    with ThreadPoolExecutor(clients) as pool:
        used, began = cpu_s(pid), time.perf_counter()
        said = set(pool.map(decide, batch))
        seconds, used = time.perf_counter() - began, cpu_s(pid) - used
    if not said <= {"match", "no_match", "-"}:
        raise SystemExit(f"{name}: {said}")
    return {name: seconds / len(batch), f"{name} cpu": used / len(batch)}


def _stages(aside: JsonProcess, engine: str, batch: Sequence[Picture]) -> dict[str, float]:
    """Return the processor seconds of each stage and of its bound, medians over the people."""
    taken: Found = defaultdict(list)
    for verb, (_, _, path) in itertools.product(("steps", "least"), batch):
        for stage, seconds in aside.ask(verb, engine=engine, path=str(path)).items():
            taken[f"{engine} {verb} {stage}"].append(seconds)
    return {name: statistics.median(values) for name, values in taken.items()}


def batch_of(megapixels: str, folder: Path) -> list[Picture]:
    """Make the pictures of one size."""
    batch = []
    for name in pictures.DISTINCT:
        if name == REFUSED:
            continue
        content = pictures.enlarged(name, PROBED, megapixels)
        path = folder / f"{name}-{megapixels}.jpg"
        path.write_bytes(content)
        batch.append((name, content, path))
    return batch


def started(stack: ExitStack, clone: Path, prefix: str) -> dict[str, Door]:
    """Start a service of the version in *clone* for each engine."""
    doors = {}
    with chdir(clone):
        for engine in ENGINES:
            service = stack.enter_context(Service(MIEN_ENGINE_WORKERS="1", MIEN_ENGINE=engine))
            doors[prefix + engine] = ready(service)
    return doors


def main(rounds: int, before: Path | None) -> None:
    """Measure and print everything."""
    say(machine())
    with tempfile.TemporaryDirectory() as folder, JsonProcess("stages") as aside, JsonProcess("stages") as another:
        batches = {size: batch_of(size, Path(folder)) for size in pictures.SIZES}
        with ExitStack() as stack:
            stock, bare = (
                stack.enter_context(JsonProcess("library_alone")),
                stack.enter_context(JsonProcess("empty_app")),
            )
            doors = started(stack, Path.cwd(), "")
            if before is not None:
                doors |= started(stack, before, engine_tables.BEFORE)
            contest = Contest(stock, doors, Bare(bare.greeting(), bare.pid))
            found = {size: contest.rounds(batch, aside, rounds) for size, batch in batches.items()}
            engine_tables.rates(found)
            engine_tables.stages(found)
            engine_tables.decisions(contest.decisions(), contest.threshold)
        engine_tables.crews(
            {engine: two_workers.measured(engine, batches["1"], (aside, another), rounds) for engine in ENGINES}
        )
    say(machine())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS, Path(sys.argv[2]) if len(sys.argv) > 2 else None)  # noqa: PLR2004
