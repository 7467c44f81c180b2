"""The kind of a test: `unit`, `service` or `slow`. A test without a mark gets one of the first two."""

import sys
import threading
from collections.abc import Sequence

import pytest

KINDS = {"unit", "service", "slow"}
SERVICE_FIXTURES = {"prepared", "make_root", "toy_pool", "real_pool", "make_pool", "clusters"}
"""Fixtures that open a store or start a process, and that most other such fixtures use."""
OUTSIDE = {"os.fork", "os.posix_spawn", "socket.bind", "socket.connect", "sqlite3.connect", "subprocess.Popen"}
"""Python's audit events for opening a database, starting a process and using the network."""


def kinds(item: pytest.Item) -> set[str]:
    """Return the kinds that *item* is marked with."""
    return {mark.name for mark in item.iter_markers()} & KINDS


def mark_kinds(items: Sequence[pytest.Item]) -> None:
    """Mark *items* that have no kind: as `service` if they use a service fixture, else as `unit`."""
    for item in items:
        if not kinds(item):
            item.add_marker("unit" if SERVICE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())) else "service")


class OutsideWatch:
    """Collects the events in OUTSIDE of the main thread while a unit test runs.

    Other threads are not watched: they may belong to a fixture of the session.
    """

    def __init__(self) -> None:
        self.seen: set[str] | None = None
        """The events of the present unit test; None outside unit tests."""
        sys.addaudithook(self._note)

    def _note(self, event: str, _arguments: tuple[object, ...]) -> None:
        if self.seen is not None and event in OUTSIDE and threading.current_thread() is threading.main_thread():
            self.seen.add(event)
