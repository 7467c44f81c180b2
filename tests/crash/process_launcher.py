"""Processes that serve or run a command, until the test stops them or a step kills them.

Python's fork server forks them from a process that has imported the program and has no threads: a fork takes
milliseconds, a fresh interpreter two seconds. They have no engine workers, and end with the fork server.
"""

import multiprocessing
import os
import signal
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import httpx

from app.callbacks.delivery_worker import DeliveryWorker
from app.faces.workers import sandbox
from app.kit import crash_points
from app.main import create_app
from app.templates import renewal
from app.vault.open import open_vault
from tests.crash.durable_changes import Snapshot, effects, snapshot
from tests.support.service_fixture import MovableClock, ToyPool, listening, settings_for
from tests.support.toy_engine import toy_card

Command = Callable[[Path, datetime, Mapping[str, str]], object]
"""A command of the operator: takes the root, the time, and ids that the test knows. A function of a module."""
PATIENCE_S = 300.0
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""The time of every act."""
END_OF_MAINTENANCE = ("maintenance", "write-ahead log of register.db emptied")


@dataclass(frozen=True, order=True)
class Spot:
    """A step of an operation, for the *nth* time."""

    operation: str
    step: str
    nth: int = 1


@dataclass(frozen=True)
class Passed:
    """A spot and the durable effects since the one before it. At the end of the process there is no spot."""

    spot: Spot | None
    effects: list[str]


class StoppedClock(MovableClock):
    """A stopped clock: two runs differ in random values only."""

    def __init__(self, moment: datetime) -> None:
        super().__init__()
        self.moment = moment

    def __call__(self) -> datetime:
        """Return the moment."""
        return self.moment + self.moved


@dataclass(frozen=True)
class Trial:
    """The stores and the time of a process, and the spot at which it is killed."""

    root: Path
    moment: datetime
    kill_at: Spot | None = None
    recording: bool = False
    delivers_callbacks: bool = True
    """Whether a service delivers callbacks and renews templates beside requests."""


@dataclass
class StepWatcher:
    """Counts the steps that the process passes; records them, or kills the process at one."""

    trial: Trial
    armed: bool = False
    maintained: threading.Event = field(default_factory=threading.Event)
    passed: list[Passed] = field(default_factory=list)
    _counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    _last: Snapshot | None = None

    def arm(self) -> None:
        """Count from now on."""
        self._last = snapshot(self.trial.root) if self.trial.recording else None
        self.armed = True

    def __call__(self, operation: str, step: str) -> None:
        """Pass a step."""
        if (operation, step) == END_OF_MAINTENANCE:
            self.maintained.set()
        if not self.armed:
            return
        self._counted[operation, step] += 1
        spot = Spot(operation, step, self._counted[operation, step])
        self._record(spot)
        if spot == self.trial.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def finish(self) -> list[Passed]:
        """Return the steps that were passed."""
        self._record(None)
        return self.passed

    def _record(self, spot: Spot | None) -> None:
        if self._last is not None:
            now = snapshot(self.trial.root)
            self.passed.append(Passed(spot, effects(self._last, now)))
            self._last = now


def _serve(line: Connection, trial: Trial, more: Mapping[str, Any]) -> None:
    """Serve: send the port after the first maintenance run, and stop when the test asks for it."""
    watch, settings = _watch_steps(trial), settings_for(trial.root, **more)
    if not trial.delivers_callbacks:
        # Safe to patch: the process is not shared.
        setattr(DeliveryWorker, "start_due", lambda _courier: None)  # noqa: B010 - a method is not assigned to
        vars(renewal)["renew_templates"] = lambda _run: renewal.RenewalCounts()
    app = create_app(settings, open_vault(settings), (ToyPool(), toy_card()), clock=StoppedClock(trial.moment))
    with listening(app) as port:
        watch.maintained.wait(PATIENCE_S)
        watch.arm()
        line.send(port)
        line.recv()
        line.send(watch.finish())


def _carry_out(line: Connection, trial: Trial, command: Command, about: Mapping[str, str]) -> None:
    """Run a command: send its result, and end when the test asks for it."""
    watch = _watch_steps(trial)
    watch.arm()
    line.send(command(trial.root, trial.moment, about))
    line.recv()
    line.send(watch.finish())


def _watch_steps(trial: Trial) -> StepWatcher:
    sandbox.die_with_parent(os.getppid())
    watch = StepWatcher(trial)
    crash_points.watcher = watch
    return watch


class ProcessLauncher:
    """Forks the processes."""

    def __init__(self) -> None:
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["tests.crash.preload", "tests.crash.operations"])
        # A client's default TLS context takes longer to create than a trial.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def service(self, trial: Trial, **more: Any) -> "LaunchedProcess":
        """Start a service with *more* settings, and wait for its first maintenance run. Steps count from then."""
        process = LaunchedProcess(self._forks, _serve, trial, more)
        address = f"http://127.0.0.1:{process.receive()}"
        process.client = httpx.Client(base_url=address, timeout=PATIENCE_S, verify=self._tls, trust_env=False)
        return process

    def command(self, trial: Trial, command: Command, about: Mapping[str, str]) -> "LaunchedProcess":
        """Run *command*; `receive` returns its result."""
        return LaunchedProcess(self._forks, _carry_out, trial, command, about)


class LaunchedProcess:
    """A process of one trial."""

    client: httpx.Client

    def __init__(self, forks: Any, target: Callable[..., None], *given: object) -> None:
        self._line, theirs = forks.Pipe()
        self.process = forks.Process(target=target, args=(theirs, *given), daemon=True)
        self.process.start()
        theirs.close()

    def receive(self) -> Any:
        """Return the next object that the process sends.

        Raises:
            EOFError: it died.
        """
        if not self._line.poll(PATIENCE_S):
            raise TimeoutError
        return self._line.recv()

    def finish(self) -> list[Passed]:
        """Stop the process in good order; returns the steps that it passed."""
        self._line.send("finish")
        passed: list[Passed] = self.receive()
        assert self._gone() == 0
        return passed

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.killed()

    def killed(self) -> None:
        """Check that the process was killed, and did not end otherwise."""
        assert self._gone() == -signal.SIGKILL

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End the process and close its connections."""
        if self.process.is_alive():
            self.process.kill()
        self._gone()
        self.process.close()
        self._line.close()
        if hasattr(self, "client"):
            self.client.close()

    def _gone(self) -> int | None:
        self.process.join(PATIENCE_S)
        code: int | None = self.process.exitcode
        return code
