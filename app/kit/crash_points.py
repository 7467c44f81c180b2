"""Named steps of operations, at which a test can kill the process. In the running service a step does nothing.

A step is just before or after an effect becomes durable. Stores name the steps of each transaction; other code names
effects that it makes durable itself, and long work.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

UNNAMED = "unnamed"
"""The operation of steps outside any operation."""
_running: ContextVar[str] = ContextVar("operation", default=UNNAMED)


def _ignore(_operation: str, _step: str) -> None:
    """Let the process go on."""


watcher: Callable[[str, str], None] = _ignore
"""Called at every step with the operation and the step. Tests replace it."""


@contextmanager
def operation(name: str) -> Iterator[None]:
    """Name the operation of the steps in the block; the innermost name counts. Also a decorator."""
    token = _running.set(name)
    try:
        yield
    finally:
        _running.reset(token)


def step(name: str) -> None:
    """Pass the step *name* of the current operation."""
    watcher(_running.get(), name)
