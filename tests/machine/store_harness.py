"""Where the machine stands: the nursery, one store after another, and the service that runs on it."""

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


class Nursery:
    """The process that forks services and commands."""

    def __enter__(self) -> Self:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.machine.process_launcher"],
            cwd=PROJECT,
            # A thread of a library for numbers would not survive the fork.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_error: object) -> None:
        """End it."""
        self._process.communicate()

    def order(self, **order: Any) -> dict[str, Any]:
        """Give an order; returns the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@dataclass
class Ended:
    """What came of a command."""

    code: int
    printed: str

    @property
    def answer(self) -> dict[str, Any]:
        """Return the object that it printed, on its last line."""
        found: dict[str, Any] = json.loads(self.printed.strip().splitlines()[-1])
        return found

    @property
    def killed(self) -> bool:
        """Say whether it was killed on the way."""
        return self.code == -signal.SIGKILL


class Ground:
    """One store, served by one process at a time."""

    def __init__(self, nursery: Nursery, root: Path) -> None:
        self._nursery, self.root, self._how = nursery, root, root.with_name(f"{root.name}-how")
        self._how.mkdir()
        self.log = self._how / "log"
        self._pid = 0
        self.client = httpx.Client()

    @property
    def _where(self) -> dict[str, str]:
        return {"root": str(self.root), "how": str(self._how)}

    def tell(self, now: datetime) -> None:
        """Set the clock."""
        new = self._how / "new"
        new.write_text(now.isoformat())
        new.replace(self._how / process_launcher.NOW)

    def doom(self, step: int) -> None:
        """Let whoever runs die at its so manyth step from now."""
        (self._how / process_launcher.DIE).write_text(str(step))

    def spare(self) -> str | None:
        """Let live who is not dead yet. Returns at which step somebody died."""
        (self._how / process_launcher.DIE).unlink(missing_ok=True)
        died = self._how / process_launcher.DIED
        if not died.exists():
            return None
        at = died.read_text()
        died.unlink()
        return at

    def start(self) -> bool:
        """Serve; False if the service did not come up."""
        told = self._nursery.order(**self._where)
        if "port" not in told:
            return False
        self._pid = told["pid"]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{told['port']}", timeout=300)
        return True

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """End the service; returns its exit code. Harmless if there is none."""
        self.client.close()
        if not self._pid:
            return 0
        code: int = self._nursery.order(end=self._pid, by=by)["code"]
        self._pid = 0
        return code

    def run(self, argv: Sequence[str]) -> Ended:
        """Run a command of the operator."""
        return Ended(**self._nursery.order(command=list(argv), **self._where))
