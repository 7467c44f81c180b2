"""Access, export, withdrawal and erasure with 10, 1,000 and 100,000 people in the databases: the goal is no difference.

    .venv/bin/python -m benchmarks.rights [REPETITIONS [PEOPLE …]]

One real service for each number of people runs at the same time, and is called in turn over HTTP. The people are rows
with random vectors, written directly (`benchmarks.people_as_rows`). Each repetition takes one subject, exercises each
right once, and adds another subject. Before that, each service is started a few times to measure the time until it is
ready: it first searches for dead rows.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final

import httpx

from app.settings import MIB, Settings
from app.startup import Run, prepare
from app.vault.open import open_vault
from benchmarks.people_as_rows import Filler, Person
from benchmarks.report import machine, p90, say, table
from benchmarks.service import PARTY, Service

REPETITIONS: Final = 40
PEOPLE: Final = (10, 1_000, 100_000)
STARTS: Final = 3

Taken = dict[str, list[float]]
"""Milliseconds of each right."""


class PopulatedService:
    """One service with *people* subjects."""

    def __init__(self, people: int) -> None:
        self.service = Service(MIEN_ENGINE_WORKERS="1")
        settings = Settings(data_dir=self.service.root / "data", keys_dir=self.service.root / "keys")
        self._vault = open_vault(settings)
        prepare(self._vault, settings, Run.MIGRATE)
        party = self.service.command("relying-party", "add", "Door", *PARTY)
        self._filler = Filler(self._vault, settings, party["relying_party_id"])
        began = time.perf_counter()
        self.people = self._filler.add(people)
        self.filled_s = time.perf_counter() - began
        self.taken: Taken = {"access": [], "export": [], "withdrawal": [], "erasure": []}
        self.starts: list[float] = []

    def size_mib(self) -> float:
        """Return the size of the data store."""
        self._vault.checkpoint_all()
        return self._vault.data.bytes() / MIB

    def start(self) -> None:
        """Start the service and note the seconds until it is ready."""
        began = time.perf_counter()
        self.service.start()
        self.service.wait_ready()
        self.starts.append(time.perf_counter() - began)

    def stop(self) -> None:
        """Stop the service."""
        self.service.stop()

    def ask(self) -> None:
        """Exercise every right of one subject, and add another subject."""
        person = self.people.pop(random.randrange(len(self.people)))
        with httpx.Client(base_url=self.service.url, timeout=60, trust_env=False) as client:
            client.get("/livez")  # connects
            for right, ask in _rights(client, person).items():
                began = time.perf_counter()
                ask().raise_for_status()
                self.taken[right].append(1000 * (time.perf_counter() - began))
        self.people += self._filler.add(1)

    def erase_to_the_end(self) -> tuple[float, float]:
        """Erase a subject; return the seconds until completion, and the longest wait of another subject.

        A large data store is rebuilt by the next sweep, not within the request. Other writers wait meanwhile;
        an access request writes its count.
        """
        leaving, staying = self.people.pop(), self.people[0]
        with httpx.Client(base_url=self.service.url, timeout=60, trust_env=False) as client:
            began = time.perf_counter()
            erasure = _rights(client, leaving)["erasure"]().raise_for_status().json()
            longest = 0.0
            while erasure["status"] != "completed":
                asked = time.perf_counter()
                _rights(client, staying)["access"]().raise_for_status()
                longest = max(longest, time.perf_counter() - asked)
                erasure = client.get(f"/v1/erasures/{erasure['erasure_id']}").raise_for_status().json()
            return time.perf_counter() - began, longest


def _rights(client: httpx.Client, person: Person) -> Mapping[str, Callable[[], httpx.Response]]:
    me = {"Authorization": f"Bearer {person.token}"}
    return {
        "access": lambda: client.get("/v1/me/access", headers=me),
        "export": lambda: client.get("/v1/me/export", headers=me),
        "withdrawal": lambda: client.delete(f"/v1/me/consents/{person.consent_id}", headers=me),
        "erasure": lambda: client.delete("/v1/me", headers=me),
    }


def show(services: Mapping[int, PopulatedService]) -> None:
    """Print medians, p90 and the ratio of the largest to the smallest service."""
    sizes = list(services)
    rows = []
    for right in next(iter(services.values())).taken:
        medians = [statistics.median(populated.taken[right]) for populated in services.values()]
        shown = [
            f"{median:.1f} ({p90(populated.taken[right]):.1f}, {max(populated.taken[right]):.0f})"
            for median, populated in zip(medians, services.values(), strict=True)
        ]
        rows.append([right, *shown, f"{medians[-1] / medians[0]:.2f}"])
    say("Milliseconds over HTTP, until the last byte: median (p90, longest).")
    table(["right", *[f"{size:,} people" for size in sizes], f"{sizes[-1]:,} to {sizes[0]:,}"], rows)
    say()
    ends = [populated.erase_to_the_end() for populated in services.values()]
    say("Seconds until an erasure is completed, and the longest wait of another subject for access meanwhile.")
    shown = [f"{until:.2f} ({waited:.2f})" for until, waited in ends]
    table(["", *[f"{size:,} people" for size in sizes]], [["completed (waited)", *shown]])
    say()
    say(f"Seconds from start to ready, least and most of {STARTS}: the program, its engine, the search for dead rows.")
    starts = [f"{min(populated.starts):.1f} to {max(populated.starts):.1f}" for populated in services.values()]
    table(["", *[f"{size:,} people" for size in sizes]], [["start to ready", *starts]])


def main(repetitions: int, sizes: Sequence[int]) -> None:
    """Measure and print everything."""
    say(machine())
    with ExitStack() as stack:
        services = {size: PopulatedService(size) for size in sizes}
        for size, populated in services.items():
            stack.enter_context(populated.service)
            say(f"{size:,} people, {populated.size_mib():.0f} MiB, written in {populated.filled_s:.1f} s")
        for _ in range(STARTS):
            for populated in services.values():
                populated.stop()
                populated.start()
        for _ in range(repetitions):
            for populated in random.sample(list(services.values()), len(services)):
                populated.ask()
        show(services)
    say(machine())


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(numbers[0] if numbers else REPETITIONS, numbers[1:] or PEOPLE)
