"""A child process that a step kills: no `finally`, no commit."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from app.kit import crash_points

Spot = tuple[str, str]
"""An operation and a step."""
NOT_KILLED = 70


def steps_of(work: Callable[[], object]) -> list[Spot]:
    """Do *work* and return the steps that it passes."""
    passed: list[Spot] = []
    previous, crash_points.watcher = crash_points.watcher, lambda operation, step: passed.append((operation, step))
    try:
        work()
    finally:
        crash_points.watcher = previous
    return passed


def killed_at(spot: int | Spot, work: Callable[[], object]) -> None:
    """Do *work* in a child process, and kill it at the first step *spot*, or at the step of this number, from 0."""
    child = os.fork()
    if child == 0:
        passed = 0

        def kill(operation: str, step: str) -> None:
            nonlocal passed
            if spot in {passed, (operation, step)}:
                os.kill(os.getpid(), signal.SIGKILL)
            passed += 1

        crash_points.watcher = kill
        # No error may make this process go on as a second run of the tests.
        with suppress(BaseException):
            work()
        os._exit(NOT_KILLED)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"step {spot} was not reached"
    assert os.WTERMSIG(status) == signal.SIGKILL
