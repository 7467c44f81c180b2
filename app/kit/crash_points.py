"""Where a process can die: every step of an operation has a name, so that a test can stop the process there.

An operation is what somebody asked for; a step is a moment just before or just after something of it becomes durable.
The stores name theirs (`kit.db`); a verb that does something else that lasts, or takes long, names that. In service
nobody watches, and a step does nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

UNNAMED = "unnamed"
"""The operation outside of any."""
_running: ContextVar[str] = ContextVar("operation", default=UNNAMED)


def _unwatched(_operation: str, _step: str) -> None:
    """Let the process go on."""


watcher: Callable[[str, str], None] = _unwatched
"""A function called at every step with the operation and the step."""


@contextmanager
def operation(name: str) -> Iterator[None]:
    """Name what is going on; the innermost name counts. Also a decorator."""
    token = _running.set(name)
    try:
        yield
    finally:
        _running.reset(token)


def step(name: str) -> None:
    """Pass the step *name* of the operation under way."""
    watcher(_running.get(), name)
