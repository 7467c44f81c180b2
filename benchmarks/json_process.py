"""A program of ours in a process of its own, asked by JSON lines: ``{"do": verb, …}`` in, the answer out.

It ends when its input does.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self


class JsonProcess:
    """A module of `benchmarks` that runs beside this one; used as a context."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", f"benchmarks.{module}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        """Return its process."""
        return self._process.pid

    def __enter__(self) -> Self:
        """Give it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End its process."""
        self._process.communicate()

    def greeting(self) -> Any:  # noqa: ANN401 - JSON
        """Return the first thing that it says unasked."""
        if self._process.stdout is None:
            raise SystemExit("no pipe")
        return json.loads(self._process.stdout.readline())

    def ask(self, verb: str, **fields: object) -> Any:  # noqa: ANN401 - JSON
        """Return its answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit("no pipe")
        self._process.stdin.write(json.dumps({"do": verb, **fields}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def answer(verbs: Mapping[str, Callable[..., Any]]) -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        said = verbs[asked.pop("do")](**asked)
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
