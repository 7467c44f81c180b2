"""One process at a time runs a job; another goes on when it stops, dies or loses its lock."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from app.db.sqlite.store import SqliteStore
from app.db.store import Held, Store
from app.jobs import scheduler
from app.jobs.scheduler import ScheduledJob
from app.web.metrics import Metrics
from tests.support.waiting import wait_until

pytestmark = pytest.mark.service
AGE = "mien_job_age_seconds"


@pytest.fixture(autouse=True)
def _take_over_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "TAKE_OVER_S", 0.01)


@dataclass
class Process:
    """The jobs of one process: each open store has locks of its own, as a process has."""

    store: Store
    metrics: Metrics = field(default_factory=Metrics)
    runs: list[str] = field(default_factory=list)
    take_overs: int = 0

    def job(
        self, name: str = "sweep", *, run: Callable[[Held], object] | None = None, everywhere: bool = False
    ) -> ScheduledJob:
        """Return a job that records its runs."""

        def note(_held: Held) -> None:
            self.runs.append(name)

        def take_over() -> None:
            self.take_overs += 1

        return ScheduledJob(name=name, every_s=0.01, run=run or note, take_over=take_over, everywhere=everywhere)

    def shows(self, name: str) -> bool:
        """Return whether the metrics show the age of the job."""
        return self.metrics.registry.get_sample_value(AGE, {"name": name}) is not None


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    stores = [SqliteStore(tmp_path / "mien.db") for _ in range(2)]
    yield Process(stores[0]), Process(stores[1])
    for store in stores:
        store.close()


def test_another_process_goes_on_when_the_first_stops(processes: tuple[Process, Process]) -> None:
    first, second = processes
    with scheduler.running([first.job()], first.store, first.metrics):
        wait_until(lambda: len(first.runs) > 3)
        with scheduler.running([second.job()], second.store, second.metrics):
            before = len(first.runs)
            wait_until(lambda: len(first.runs) > before + 20)

            assert (second.runs, second.shows("sweep")) == ([], False), "one process at a time"
    with scheduler.running([second.job()], second.store, second.metrics):
        wait_until(lambda: second.runs)
        assert second.take_overs == 0, "no other process had the job"


def test_the_second_finishes_what_the_first_left(processes: tuple[Process, Process]) -> None:
    first, second = processes
    stop = threading.Event()

    def run_first() -> None:
        with scheduler.running([first.job()], first.store, first.metrics):
            stop.wait()

    thread = threading.Thread(target=run_first)
    thread.start()
    wait_until(lambda: first.runs)
    with scheduler.running([second.job()], second.store, second.metrics):
        wait_until(lambda: len(first.runs) > 10)
        stop.set()
        thread.join()
        wait_until(lambda: second.runs)

        assert second.take_overs == 1
        assert (first.shows("sweep"), second.shows("sweep")) == (False, True)


def test_a_job_about_the_memory_of_a_process_runs_in_each(processes: tuple[Process, Process]) -> None:
    first, second = processes
    with (
        scheduler.running([first.job(everywhere=True)], first.store, first.metrics),
        scheduler.running([second.job(everywhere=True)], second.store, second.metrics),
    ):
        wait_until(lambda: first.runs and second.runs)


def test_a_job_that_has_lost_its_lock_does_not_run() -> None:
    class Lost:
        """A lock on a server: its connection breaks after the third question."""

        questions = 0

        def __bool__(self) -> bool:
            self.questions += 1
            return self.questions <= 3

    class Server:
        """A store on a server."""

        locks: list[Lost] = []  # noqa: RUF012 - of this test only

        @contextmanager
        def lock(self, _name: str) -> Iterator[Held]:
            self.locks.append(Lost())
            yield self.locks[-1]

    server = Server()
    process = Process(cast("Store", server))
    with scheduler.running([process.job()], process.store, process.metrics):
        wait_until(lambda: len(server.locks) > 3)

    assert len(process.runs) <= 2 * len(server.locks), "it asks for the lock again"


def test_a_store_that_fails_does_not_end_the_job(processes: tuple[Process, Process]) -> None:
    process, _ = processes

    class Failing:
        """A store whose first lock cannot be had."""

        asked = 0

        def lock(self, name: str) -> object:
            self.asked += 1
            if self.asked == 1:
                raise OSError
            return process.store.lock(name)

    with scheduler.running([process.job()], cast("Store", Failing()), process.metrics):
        wait_until(lambda: process.runs)


def test_only_a_job_that_succeeds_is_noted(processes: tuple[Process, Process]) -> None:
    process, _ = processes
    failed = threading.Event()

    def fail(_held: Held) -> None:
        failed.set()
        raise ArithmeticError

    with scheduler.running([process.job("good"), process.job("bad", run=fail)], process.store, process.metrics):
        wait_until(lambda: failed.is_set() and process.shows("good"))

        assert not process.shows("bad")
