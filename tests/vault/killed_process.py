"""A process that is killed at a step: no `finally`, no commit, no goodbye."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from app.kit import crash_points

FAILED = 70


def steps_of(work: Callable[[], object]) -> list[tuple[str, str]]:
    """Do *work* and return the steps that it passes: operation and step."""
    seen: list[tuple[str, str]] = []
    unwatched, crash_points.watcher = crash_points.watcher, lambda operation, step: seen.append((operation, step))
    try:
        work()
    finally:
        crash_points.watcher = unwatched
    return seen


def killed_at(number: int, work: Callable[[], object]) -> None:
    """Do *work* in a process of its own that is killed at the step of this number, counted from 0."""
    child = os.fork()
    if child == 0:
        passed = 0

        def kill(_operation: str, _step: str) -> None:
            nonlocal passed
            if passed == number:
                os.kill(os.getpid(), signal.SIGKILL)
            passed += 1

        crash_points.watcher = kill
        # Whatever comes of it, this process must not go on as a second run of the tests.
        with suppress(BaseException):
            work()
        os._exit(FAILED)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"step {number} was not reached"
    assert os.WTERMSIG(status) == signal.SIGKILL
