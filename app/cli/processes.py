"""Several processes of one service: a parent that serves nothing starts them, restarts them and stops them.

The parent is forked before it opens a store or starts a thread. It opens the port once, and all processes accept
connections from it.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from app.kit.deadline import Deadline
from app.kit.process_memory import prctl

POLL_S = 0.1
"""Seconds between two looks at the processes, when no signal arrives."""
RESTART_S = 1.0
"""Seconds from the end of a process until its successor starts."""
WATCHED = frozenset({signal.SIGCHLD, signal.SIGINT, signal.SIGTERM})
_PR_SET_PDEATHSIG = 1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Child:
    """One of the processes, in that process."""

    index: int
    """From 0 up; a successor has the same."""
    report_started: Callable[[], None]
    """To be called when this process serves."""


@dataclass(slots=True)
class Parent:
    """The parent. `run` returns in each child, and never in the parent.

    Args:
        count: number of processes.
        announce: called once, when every process serves.
    """

    count: int
    announce: Callable[[], None]
    _running: dict[int, int] = field(default_factory=dict)
    """The indexes by process id."""
    _due: dict[int, Deadline] = field(default_factory=dict)
    """The time until each process that does not run is started, by index."""
    _stopping: bool = False
    _exit_code: int = 0

    def run(self) -> Child:
        """Start the processes and watch them until they are stopped.

        Raises:
            SystemExit: in the parent, when all have ended: 0 after a stop, 1 if one could not start or end in order.
        """
        # The signals wait for `sigtimedwait`. In a child they are unblocked at once.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        pipe, report = os.pipe()
        os.set_blocking(pipe, False)
        reported = 0
        self._due = {index: Deadline(0) for index in range(self.count)}
        while self._running or not self._stopping:
            for index in self._take_due():
                if (pid := os.fork()) == 0:
                    os.close(pipe)
                    return _begin_child(index, report, mask)
                self._running[pid] = index
            before, reported = reported, reported + _read(pipe)
            if before < self.count <= reported:
                self.announce()
            received = signal.sigtimedwait(WATCHED, POLL_S)
            if received is not None and received.si_signo != signal.SIGCHLD:
                self._stop()
            self._reap(announced=reported >= self.count)
        raise SystemExit(self._exit_code)

    def _take_due(self) -> list[int]:
        due = [] if self._stopping else [index for index, wait in self._due.items() if wait.left() <= 0]
        for index in due:
            del self._due[index]
        return due

    def _stop(self) -> None:
        self._stopping = True
        for pid in self._running:
            # SIGTERM, whichever came: a second SIGINT would make a process drop its requests.
            os.kill(pid, signal.SIGTERM)

    def _reap(self, *, announced: bool) -> None:
        for pid in list(self._running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            index, code = self._running.pop(pid), os.waitstatus_to_exitcode(status)
            if self._stopping:
                # A process that was still starting has no handler of the signal yet.
                self._exit_code = self._exit_code or int(code not in {0, -signal.SIGTERM})
            elif not announced:
                # It has told the reason. The others would fail for the same one.
                self._exit_code = 1
                self._stop()
            else:
                log.warning("a process ended and is started again", process=index, exit_code=code)
                self._due[index] = Deadline(RESTART_S)


def _begin_child(index: int, report: int, mask: set[signal.Signals | int]) -> Child:
    parent = os.getppid()
    # A child does not outlive its parent, which holds the port and would start another.
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if os.getppid() != parent:
        raise SystemExit(1)

    def report_started() -> None:
        os.write(report, b"1")
        os.close(report)

    return Child(index, report_started)


def _read(pipe: int) -> int:
    """Return the number of new reports."""
    try:
        return len(os.read(pipe, 1024))
    except BlockingIOError:
        return 0
