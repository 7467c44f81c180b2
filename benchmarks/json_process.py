"""Run a module of `benchmarks` in its own process and exchange JSON lines: ``{"do": verb, …}`` in, the answer out.

The process ends when its input is closed.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, Self


class JsonProcess:
    """A module of `benchmarks` that runs beside this one; used as a context."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", f"benchmarks.{module}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    def __enter__(self) -> Self:
        """Return this object."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.communicate()

    def greeting(self) -> Any:  # noqa: ANN401 - JSON
        """Return the first line that the process prints by itself."""
        if self._process.stdout is None:
            raise SystemExit("no pipe")
        return json.loads(self._process.stdout.readline())

    def ask(self, verb: str, **fields: object) -> Any:  # noqa: ANN401 - JSON
        """Return the answer to one request."""
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit("no pipe")
        self._process.stdin.write(json.dumps({"do": verb, **fields}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def answer(verbs: Mapping[str, Callable[..., Any]]) -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        result = verbs[request.pop("do")](**request)
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
