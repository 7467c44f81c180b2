"""A compromised engine: when it describes a face, it tries actions that the sandbox must refuse.

``embed`` returns a number for each action: 0 if the kernel answered "not permitted", else 1. Run as a program, outside
the sandbox, the module prints the same numbers, which shows that the actions can succeed.
"""

import ctypes
import errno
import mmap
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.faces.engine import Face, Pixels
from tests.support.toy_engine import ToyEngine

SPEC = "tests.faces.hostile_engine:HostileEngine"
FORGING_SPEC = "tests.faces.hostile_engine:ForgingEngine"
COUNTING_SPEC = "tests.faces.hostile_engine:CountingEngine"
_HERE = os.fsencode(__file__)
_PTRACE_SEIZE = 0x4206
"""Unlike an attachment, it does not stop the traced process."""
_IO_URING_SETUP, _MEMFD_CREATE, _PTRACE, _PROCESS_VM_READV, _PROCESS_VM_WRITEV = 425, 319, 101, 310, 311
_PIDFD_OPEN, _PIDFD_GETFD, _KCMP, _PERF_EVENT_OPEN, _USERFAULTFD, _BPF, _KEYCTL = 434, 438, 312, 298, 323, 321, 250
_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: int | bytes) -> None:
    if _libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _thread() -> None:
    try:
        threading.Thread(target=int).start()
    except RuntimeError as error:
        raise PermissionError(errno.EPERM, "refused") from error


ACTIONS: Mapping[str, Callable[[], object]] = {
    "read a file": lambda: os.open(__file__, os.O_RDONLY),
    "write a file": lambda: os.open(os.devnull, os.O_WRONLY),
    "stat a file": lambda: Path(__file__).stat(),
    "list a directory": lambda: os.listdir("/"),  # noqa: PTH208
    "make a directory": lambda: os.mkdir(_HERE),  # noqa: PTH102
    "delete a file": lambda: os.unlink(_HERE + b".none"),  # noqa: PTH108
    "rename a file": lambda: os.rename(_HERE + b".none", _HERE + b".some"),  # noqa: PTH104
    "link a file": lambda: os.symlink(_HERE, _HERE),  # noqa: PTH211
    "make a TCP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "make a UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "make a local socket": socket.socketpair,
    "make a pipe": os.pipe,
    "fork": _fork,
    "start a thread": _thread,
    "run a program": lambda: os.execv("/nonexistent", ["/nonexistent"]),  # noqa: S606
    "spawn a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "send a signal": lambda: os.kill(os.getpid(), signal.SIGCONT),
    "read its limits": lambda: _call(302, 0, 7, 0, 0),
    "trace another process": lambda: _call(_PTRACE, 16, 0, 0, 0),
    "read the memory of a process": lambda: _call(_PROCESS_VM_READV, os.getpid(), 0, 0, 0, 0, 0),
    "trace the service": lambda: _call(_PTRACE, _PTRACE_SEIZE, os.getppid(), 0, 0),
    "read the memory of the service": lambda: _call(_PROCESS_VM_READV, os.getppid(), 0, 0, 0, 0, 0),
    "write the memory of the service": lambda: _call(_PROCESS_VM_WRITEV, os.getppid(), 0, 0, 0, 0, 0),
    "open the memory of the service": lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
    "open a handle of the service": lambda: _call(_PIDFD_OPEN, os.getppid(), 0),
    "take a file of the service": lambda: _call(_PIDFD_GETFD, 0, 0, 0),
    "compare itself with the service": lambda: _call(_KCMP, os.getpid(), os.getppid(), 1, 0, 0),
    "count events of the service": lambda: _call(_PERF_EVENT_OPEN, bytes(128), os.getppid(), -1, -1, 0),
    "handle page faults": lambda: _call(_USERFAULTFD, 0),
    "load a kernel program": lambda: _call(_BPF, 0, 0, 0),
    "read the kernel's keys": lambda: _call(_KEYCTL, 0, -3, 0),
    "use io_uring": lambda: _call(_IO_URING_SETUP, 0, 0),
    "make a file in memory": lambda: _call(_MEMFD_CREATE, b"x", 0),
    "map memory to execute": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
}


def try_actions() -> list[float]:
    """Try every action; return 0 for each that is not permitted."""
    return [_try(action) for action in ACTIONS.values()]


def _try(action: Callable[[], object]) -> float:
    try:
        action()
    except OSError as error:
        return float(error.errno not in {errno.EPERM, errno.EMFILE, errno.EACCES})
    return 1.0


class HostileEngine(ToyEngine):
    """Works normally until the sandbox is closed."""

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return the outcomes of the actions, filled up with ones; on the picture of the warm-up, a normal vector."""
        if pixels.shape == (320, 320, 3):
            return super().embed(pixels, face)
        return [*try_actions(), *[1.0] * (self.dimensions - len(ACTIONS))]


class ForgingEngine(ToyEngine):
    """Writes forged frames to every pipe that it has."""

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Send a frame that announces four gigabytes, except on the picture of the warm-up."""
        if pixels.shape != (320, 320, 3):
            for descriptor in range(3, 12):
                try:
                    os.write(descriptor, b"\xff\xff\xff\xff")
                except OSError:
                    continue
        return super().embed(pixels, face)


class CountingEngine(ToyEngine):
    """Tells in its vectors which process it is, and how many faces that process has seen.

    It loads only when the file `gate` exists, which the settings on its card name.
    """

    def __init__(self, digests: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        while not Path(settings["gate"]).exists():
            time.sleep(0.01)
        super().__init__(digests)
        self._seen = 0

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return the process id, and the number of faces without those of warm-ups."""
        self._seen += pixels.shape != (320, 320, 3)
        return [float(os.getpid()), float(self._seen), *[1.0] * (self.dimensions - 2)]


if __name__ == "__main__":
    sys.stdout.write(" ".join(str(int(outcome)) for outcome in try_actions()))
