"""Verification over HTTP against `face_recognition` by itself, on the same pictures in the same run.

    .venv/bin/python -m benchmarks.verify [ROUNDS]

In every round each contender gets the same batch, in random order: the library in a loop, in one process and in two at
once, and the service with one engine worker and with two. Rates are medians over the rounds. Then every pair of people
is decided by both, and one request is taken apart (`benchmarks.request_stages`).
"""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from app.faces.cards.card import load_card
from app.faces.cards.operating_point import find_operating_point
from benchmarks import pictures, request_stages
from benchmarks.json_process import JsonProcess
from benchmarks.report import cpu_s, machine, say, table
from benchmarks.service import Door, Service

ROUNDS: Final = 5
ENROLLED: Final = "studio_portrait"
PROBED: Final = "amateur_selfie"
GOALS: Final = {"0.3": 1.5, "1": 3.0, "12": 3.0}
"""Megapixels to the least ratio of our rate per worker to the library's."""
SECOND_WORKER: Final = 1.5
"""The least that a second worker shall bring."""
TIMES: Final = {"0.3": 2, "1": 2, "12": 1}
"""How often each person's picture is in a batch."""

CONTENDERS: Final = ("library", "library twice", "one", "two, one client", "two")

Picture = tuple[str, bytes, Path]
"""Whose it is, its bytes for us and its path for the library."""


class Contest:
    """All contenders, each with the same people enrolled from the same photos."""

    def __init__(self, stocks: Sequence[JsonProcess], one: Door, two: Door, threshold: float) -> None:
        self.stocks, self.one, self.two, self.threshold = stocks, one, two, threshold
        for name in pictures.DISTINCT + pictures.LOOK_ALIKES:
            for door in (one, two):
                door.enrol(name, pictures.photo(name, ENROLLED))
            for stock in stocks:
                stock.ask("learn", name=name, path=str(pictures.PEOPLE / name / f"{ENROLLED}.jpg"))

    def by_stock(self, batch: Sequence[Picture], *, processes: int) -> tuple[float, list[str]]:
        """Decide *batch* with the library; return the seconds that passed and the decisions."""

        def share(number: int) -> list[str]:
            return [self.by_one(self.stocks[number], name, path) for name, _, path in batch[number::processes]]

        with ThreadPoolExecutor(processes) as pool:
            began = time.perf_counter()
            shares = list(pool.map(share, range(processes)))
            seconds = time.perf_counter() - began
        return seconds, [shares[number % processes][number // processes] for number in range(len(batch))]

    def by_one(self, stock: JsonProcess, name: str, path: Path) -> str:
        """Have the library decide whether the picture is of *name*."""
        decision: str = stock.ask("decide", name=name, path=str(path), threshold=self.threshold)
        return decision

    def rates(self, batch: Sequence[Picture], rounds: int) -> tuple[dict[str, list[float]], bool]:
        """Return each contender's pictures a second, a value for each round, and whether all decided alike."""
        contenders: dict[str, Callable[[], tuple[float, list[str]]]] = {
            "library": lambda: self.by_stock(batch, processes=1),
            "library twice": lambda: self.by_stock(batch, processes=2),
            "one": lambda: by_service(self.one, batch, clients=1),
            "two, one client": lambda: by_service(self.two, batch, clients=1),
            "two": lambda: by_service(self.two, batch, clients=2),
        }
        watched = {"library": self.stocks[0].pid, "one": self.one.pid}
        found: dict[str, list[float]] = {name: [] for name in (*contenders, *(f"{name} ms" for name in watched))}
        decided = set()
        for number in range(rounds + 1):
            for name in random.sample(list(contenders), len(contenders)):
                before = cpu_s(watched[name]) if name in watched else 0.0
                seconds, decisions = contenders[name]()
                decided.add(tuple(decisions))
                if number:  # the first round warms up
                    found[name].append(len(batch) / seconds)
                    if name in watched:
                        found[f"{name} ms"].append(1000 * (cpu_s(watched[name]) - before) / len(batch))
        return found, len(decided) == 1


def by_service(door: Door, batch: Sequence[Picture], *, clients: int) -> tuple[float, list[str]]:
    """Decide *batch* over HTTP; return the seconds that passed and the decisions."""
    with ThreadPoolExecutor(clients) as pool:
        began = time.perf_counter()
        decisions = list(pool.map(lambda picture: door.verify(picture[0], picture[1]), batch))
        return time.perf_counter() - began, decisions


def batch_of(megapixels: str, folder: Path) -> list[Picture]:
    """Make the pictures of one size."""
    batch = []
    for name in pictures.DISTINCT:
        content = pictures.enlarged(name, PROBED, megapixels)
        path = folder / f"{name}-{megapixels}.jpg"
        path.write_bytes(content)
        batch.append((name, content, path))
    return batch * TIMES[megapixels]


def show_rates(found: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Print the rates and whether the goals are met."""
    rows, ratios = [], []
    for size, rates in found.items():
        library, twice, one, single, two = (statistics.median(rates[name]) for name in CONTENDERS)
        rows.append([f"{size} MP", *(f"{value:.2f}" for value in (library, twice, one, single, two))])
        met = min(one / library, two / twice) >= GOALS[size]
        goal = f"{GOALS[size]:g}: {'met' if met else 'NOT MET'}"
        second = f"{two / one:.2f} ({'met' if two / one >= SECOND_WORKER else 'NOT MET'})"
        ratios.append(
            [f"{size} MP", f"{one / library:.1f}", f"{two / twice:.1f}", goal, f"{two / 2 / library:.1f}", second]
        )
    say("Pictures a second, medians.")
    table(["size", "library", "library, 2 processes", "1 worker", "2 workers, 1 client", "2 workers, 2 clients"], rows)
    say()
    say("For each worker or process, ours to the library's.")
    head = [
        "size",
        "1 to 1",
        "2 to 2",
        "goal for both",
        "each of 2 to 1 alone",
        f"2 workers to 1 (goal {SECOND_WORKER})",
    ]
    table(head, ratios)
    say()
    say("Milliseconds of processor for one picture, medians: what other programs do to the clock is not in it.")
    cpu = {
        size: [statistics.median(rates[f"{name} ms"]) for name in ("library", "one")] for size, rates in found.items()
    }
    shown = [
        [f"{size} MP", f"{stock:.0f}", f"{ours:.0f}", f"{stock / ours:.1f}"] for size, (stock, ours) in cpu.items()
    ]
    table(["size", "library", "service and its worker", "ratio"], shown)
    say("Spread, lowest to highest round: " + "; ".join(_spread(size, rates) for size, rates in found.items()))


def _spread(size: str, rates: Mapping[str, Sequence[float]]) -> str:
    return f"{size} MP " + ", ".join(f"{name} {min(rates[name]):.2f} to {max(rates[name]):.2f}" for name in CONTENDERS)


def show_decisions(contest: Contest) -> None:
    """Print what both decide about every pair: whose reference, and whose probe."""
    people = pictures.DISTINCT + pictures.LOOK_ALIKES
    signs = {("match", "match"): "match", ("no_match", "no_match"): "-"}
    rows, unequal = [], 0
    for kind in (PROBED, "emo_happy"):
        probes = [name for name in people if (pictures.PEOPLE / name / f"{kind}.jpg").exists()]
        for probe in probes:
            row = []
            for name in people:
                ours = contest.two.verify(name, pictures.photo(probe, kind))
                both = (ours, contest.by_one(contest.stocks[0], name, pictures.PEOPLE / probe / f"{kind}.jpg"))
                unequal += both[0] != both[1]
                row.append(signs.get(both, "/".join(both)))
            rows.append([f"{probe} {kind}", *row])
    say(f"Decisions at threshold {contest.threshold:g}: probe by reference ({ENROLLED}); ours/its where they differ.")
    table(["probe", *people], rows)
    say(f"{sum(len(row) - 1 for row in rows)} pairs, {unequal} decided differently.")


def main(rounds: int) -> None:
    """Measure and print everything."""
    threshold = find_operating_point(load_card("face_recognition")).threshold
    say(machine())
    with (
        tempfile.TemporaryDirectory() as folder,
        JsonProcess("library_alone") as stock,
        JsonProcess("library_alone") as another,
        JsonProcess("stages") as stages,
        Service(MIEN_ENGINE_WORKERS="1") as one,
        Service(MIEN_ENGINE_WORKERS="2") as two,
    ):
        contest = Contest((stock, another), ready(one), ready(two), threshold)
        batches = {size: batch_of(size, Path(folder)) for size in pictures.SIZES}
        found = {}
        for size, batch in batches.items():
            found[size], alike = contest.rates(batch, rounds)
            sent = statistics.mean(len(content) for _, content, _ in batch) / 1e6
            say(f"{size} MP: {len(batch)} pictures a batch, {sent:.1f} MB each; decisions alike: {alike}")
        say()
        show_rates(found)
        say()
        show_decisions(contest)
        say()
        one.stop()
        two.stop()
        for size, batch in batches.items():
            request_stages.show(
                size, batch, lambda path: stages.ask("steps", engine="face_recognition", path=str(path))
            )
    say()
    say(machine())


def ready(service: Service) -> Door:
    """Start a service, and give it a relying party."""
    service.start()
    service.wait_ready()
    return Door.at(service)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
