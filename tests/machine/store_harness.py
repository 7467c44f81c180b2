"""The stores of a walk, and the service and the commands that run on them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx

from tests.machine import process_launcher

PROJECT = Path(__file__).parents[2]


class ProcessLauncher:
    """Starts the process that forks services and commands, and sends it orders."""

    def __enter__(self) -> Self:
        """Start the process."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.machine.process_launcher"],
            cwd=PROJECT,
            # Threads of numeric libraries would not survive the fork.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_error: object) -> None:
        """End the process."""
        self._process.communicate()

    def order(self, **order: Any) -> dict[str, Any]:
        """Send an order. Returns the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@dataclass
class CommandResult:
    """The result of a command."""

    code: int
    printed: str

    @property
    def answer(self) -> dict[str, Any]:
        """Return the object on the last printed line."""
        found: dict[str, Any] = json.loads(self.printed.strip().splitlines()[-1])
        return found

    @property
    def killed(self) -> bool:
        """Return whether it was killed."""
        return self.code == -signal.SIGKILL


class ServedStore:
    """A pair of stores, served by one process at a time."""

    def __init__(self, launcher: ProcessLauncher, root: Path) -> None:
        self._launcher, self.root, self._how = launcher, root, root.with_name(f"{root.name}-how")
        self._how.mkdir()
        self.log = self._how / "log"
        self._pid = 0
        self.client = httpx.Client()

    @property
    def _where(self) -> dict[str, str]:
        return {"root": str(self.root), "how": str(self._how)}

    def set_clock(self, now: datetime) -> None:
        """Set the clock."""
        new = self._how / "new"
        new.write_text(now.isoformat())
        new.replace(self._how / process_launcher.NOW)

    def kill_at_step(self, step: int) -> None:
        """Kill the running process at its step of this number from now."""
        (self._how / process_launcher.DIE).write_text(str(step))

    def cancel_kill(self) -> str | None:
        """Cancel the kill. Returns the step at which a process died; None if none did."""
        (self._how / process_launcher.DIE).unlink(missing_ok=True)
        died = self._how / process_launcher.DIED
        if not died.exists():
            return None
        at = died.read_text()
        died.unlink()
        return at

    def start(self) -> bool:
        """Start the service. Returns False if it did not start."""
        told = self._launcher.order(**self._where)
        if "port" not in told:
            return False
        self._pid = told["pid"]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{told['port']}", timeout=300)
        return True

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """End the service, if it runs. Returns its exit code."""
        self.client.close()
        if not self._pid:
            return 0
        code: int = self._launcher.order(end=self._pid, by=by)["code"]
        self._pid = 0
        return code

    def run(self, argv: Sequence[str]) -> CommandResult:
        """Run a command of the operator."""
        return CommandResult(**self._launcher.order(command=list(argv), **self._where))
