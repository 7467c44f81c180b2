"""An engine that has been taken over: on a person's photo it tries what a sandbox must not allow.

``embed`` returns a number for each deed: 1 where the kernel said anything but "not permitted". Run as a program,
outside the sandbox, it prints the same, which shows that the deeds are real.
"""

import ctypes
import errno
import mmap
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.faces.engine import Face, Pixels
from tests.support.toy_engine import ToyEngine

SPEC = "tests.faces.hostile_engine:HostileEngine"
LIAR_SPEC = "tests.faces.hostile_engine:LiarEngine"
_HERE = os.fsencode(__file__)
_IO_URING_SETUP, _MEMFD_CREATE, _PTRACE, _PROCESS_VM_READV = 425, 319, 101, 310
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


DEEDS: Mapping[str, Callable[[], object]] = {
    "read a file": lambda: os.open(__file__, os.O_RDONLY),
    "write a file": lambda: os.open(os.devnull, os.O_WRONLY),
    "look at a file": lambda: Path(__file__).stat(),
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
    "see its limits": lambda: _call(302, 0, 7, 0, 0),
    "trace another": lambda: _call(_PTRACE, 16, 0, 0, 0),
    "read another's memory": lambda: _call(_PROCESS_VM_READV, os.getpid(), 0, 0, 0, 0, 0),
    "use io_uring": lambda: _call(_IO_URING_SETUP, 0, 0),
    "make a file in memory": lambda: _call(_MEMFD_CREATE, b"x", 0),
    "map memory to execute": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
}


def deeds() -> list[float]:
    """Try everything; return 0 for each deed that is not permitted."""
    return [_tried(deed) for deed in DEEDS.values()]


def _tried(deed: Callable[[], object]) -> float:
    try:
        deed()
    except OSError as error:
        return float(error.errno not in {errno.EPERM, errno.EMFILE, errno.EACCES})
    return 1.0


class HostileEngine(ToyEngine):
    """Good until it is sealed."""

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Return what the deeds came to, on any picture but the warm-up's; then ones: zeros alone are no vector."""
        if pixels.shape == (320, 320, 3):
            return super().embed(pixels, face)
        return [*deeds(), *[1.0] * (self.dimensions - len(DEEDS))]


class LiarEngine(ToyEngine):
    """Writes what it likes to every pipe it holds."""

    def embed(self, pixels: Pixels, face: Face) -> Sequence[float]:
        """Send a frame that announces four gigabytes, on any picture but the warm-up's."""
        if pixels.shape != (320, 320, 3):
            for descriptor in range(3, 12):
                try:
                    os.write(descriptor, b"\xff\xff\xff\xff")
                except OSError:
                    continue
        return super().embed(pixels, face)


if __name__ == "__main__":
    sys.stdout.write(" ".join(str(int(outcome)) for outcome in deeds()))
