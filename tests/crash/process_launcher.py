"""Children that serve, or carry out a command, until they are told to stop or kill themselves at a step.

They are forked from a clean process that has imported the program and has no threads (Python's fork server): a fork
takes milliseconds, a fresh interpreter two seconds. They have no workers of their own, and die with the fork server,
which dies with the tests.
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
"""A command of the operator, given the root, the time, and what the test knows; a function of a module."""
PATIENCE_S = 300.0
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""When everything happens."""
END_OF_A_SWEEP = ("sweep", "log of register.db emptied")


@dataclass(frozen=True, order=True)
class Spot:
    """A step of an operation, for the *nth* time."""

    operation: str
    step: str
    nth: int = 1


@dataclass(frozen=True)
class Passed:
    """A spot that was passed, and what had become durable since the one before it; no spot: at the end."""

    spot: Spot | None
    effects: list[str]


class StoppedClock(MovableClock):
    """A clock that stands still, so that two runs differ in what is random only."""

    def __init__(self, moment: datetime) -> None:
        super().__init__()
        self.moment = moment

    def __call__(self) -> datetime:
        """Return the moment."""
        return self.moment + self.moved


@dataclass(frozen=True)
class Trial:
    """Where and when a child lives, and where it dies."""

    root: Path
    moment: datetime
    deadly: Spot | None = None
    recording: bool = False
    telling: bool = True
    """Whether a service tells relying parties, by itself and beside everything else."""


@dataclass
class Watch:
    """Counts the steps that are passed; records them, or ends the process at one."""

    trial: Trial
    armed: bool = False
    swept: threading.Event = field(default_factory=threading.Event)
    passed: list[Passed] = field(default_factory=list)
    _counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    _last: Snapshot | None = None

    def arm(self) -> None:
        """Count from now on."""
        self._last = snapshot(self.trial.root) if self.trial.recording else None
        self.armed = True

    def __call__(self, operation: str, step: str) -> None:
        """Pass a step."""
        if (operation, step) == END_OF_A_SWEEP:
            self.swept.set()
        if not self.armed:
            return
        self._counted[operation, step] += 1
        spot = Spot(operation, step, self._counted[operation, step])
        self._record(spot)
        if spot == self.trial.deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def finish(self) -> list[Passed]:
        """Return what was passed."""
        self._record(None)
        return self.passed

    def _record(self, spot: Spot | None) -> None:
        if self._last is not None:
            now = snapshot(self.trial.root)
            self.passed.append(Passed(spot, effects(self._last, now)))
            self._last = now


def _serve(line: Connection, trial: Trial, more: Mapping[str, Any]) -> None:
    """Be the service: say the port once the first sweep is over, and stop when told to."""
    watch, settings = _born(trial), settings_for(trial.root, **more)
    if not trial.telling:
        # A process of its own: nobody else is kept from telling, or from renewing what its own engine can be given.
        setattr(DeliveryWorker, "start_due", lambda _courier: None)  # noqa: B010 - a method is not assigned to
        vars(renewal)["renew_templates"] = lambda _run: renewal.RenewalCounts()
    app = create_app(settings, open_vault(settings), (ToyPool(), toy_card()), clock=StoppedClock(trial.moment))
    with listening(app) as port:
        watch.swept.wait(PATIENCE_S)
        watch.arm()
        line.send(port)
        line.recv()
        line.send(watch.finish())


def _carry_out(line: Connection, trial: Trial, command: Command, about: Mapping[str, str]) -> None:
    """Be a command of the operator: say what came of it, and stay until told to go."""
    watch = _born(trial)
    watch.arm()
    line.send(command(trial.root, trial.moment, about))
    line.recv()
    line.send(watch.finish())


def _born(trial: Trial) -> Watch:
    sandbox.die_with_parent(os.getppid())
    watch = Watch(trial)
    crash_points.watcher = watch
    return watch


class Nursery:
    """Where children come from."""

    def __init__(self) -> None:
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["tests.crash.preload", "tests.crash.operations"])
        # Making a client's own takes longer than a trial.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def service(self, trial: Trial, **more: Any) -> "Child":
        """Have it served, with *more* settings. The first sweep is over by then; steps count from there."""
        child = Child(self._forks, _serve, trial, more)
        address = f"http://127.0.0.1:{child.heard()}"
        child.client = httpx.Client(base_url=address, timeout=PATIENCE_S, verify=self._tls, trust_env=False)
        return child

    def command(self, trial: Trial, command: Command, about: Mapping[str, str]) -> "Child":
        """Have *command* carried out; `heard` gives what came of it."""
        return Child(self._forks, _carry_out, trial, command, about)


class Child:
    """A process that was forked for one trial."""

    client: httpx.Client

    def __init__(self, forks: Any, target: Callable[..., None], *given: object) -> None:
        self._line, theirs = forks.Pipe()
        self.process = forks.Process(target=target, args=(theirs, *given), daemon=True)
        self.process.start()
        theirs.close()

    def heard(self) -> Any:
        """Return what it says next.

        Raises:
            EOFError: it died.
        """
        if not self._line.poll(PATIENCE_S):
            raise TimeoutError
        return self._line.recv()

    def finish(self) -> list[Passed]:
        """Let it stop in good order; returns what it passed."""
        self._line.send("finish")
        passed: list[Passed] = self.heard()
        assert self._gone() == 0
        return passed

    def kill(self) -> None:
        """End it from outside."""
        self.process.kill()
        self.killed()

    def killed(self) -> None:
        """Make sure that it was killed, and not otherwise ended."""
        assert self._gone() == -signal.SIGKILL

    def __enter__(self) -> Self:
        """Take care of it."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave nothing of it, whatever happened."""
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
