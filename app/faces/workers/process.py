"""The parent's end of one engine worker: start it, ask it within a deadline, end it.

Nothing that comes out of a worker is believed: whatever breaks the form ends the worker (``WorkerLostError``).
"""

import contextlib
import fcntl
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Final

from app.faces.cards.card import Card
from app.faces.flaws import Flaw
from app.faces.workers.frames import Frame, FrameError, pack, read_frame
from app.faces.workers.messages import (
    MAX_REPLY_BLOB_BYTES,
    REFUSALS,
    Measurement,
    MeasureRequest,
    ReadyReply,
    StartRequest,
    parse_reply,
)

_ROOT: Final = Path(__file__).parents[3]
"""The directory that holds the package ``app``."""
_INHERITED: Final = ("LD_LIBRARY_PATH", "PYTHONHOME")
"""What some Python builds need to start at all; nothing else of our environment (which holds secrets) is given."""
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
"""A worker is one core's work, and a sealed process cannot start threads."""
_CHUNK: Final = 1024 * 1024
_PIPE_BYTES: Final = 1024 * 1024
"""What a pipe holds, as far as the kernel lets us (Linux: at most this, unasked): most photos, so that they are handed
over at once. The usual 64 KiB make the two processes wait for each other at every piece."""
_ENDING_S: Final = 2.0


class WorkerLostError(Exception):
    """The worker died, or broke the protocol, or could not become one; says why, with nothing personal in it."""


class WorkerLateError(Exception):
    """The worker did not answer in time."""


class WorkerProcess:
    """One running worker. Belongs to one thread, which must outlive it: the kernel ends the worker with its thread."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-s", "-m", "app.faces.workers.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a traceback could hold what it saw
            bufsize=0,
            cwd=_ROOT,
            env={name: os.environ[name] for name in _INHERITED if name in os.environ} | _ONE_THREAD,
            start_new_session=True,  # Ctrl-C is the service's to handle; jobs that run are finished
        )
        self._in, self._out = _pipe(self._process.stdin), _pipe(self._process.stdout)
        for pipe in (self._in, self._out):
            os.set_blocking(pipe.fileno(), False)
        with contextlib.suppress(OSError):  # a user has only so many pages in pipes
            fcntl.fcntl(self._in.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def greet(self, start: StartRequest, card: Card, *, timeout_s: float) -> ReadyReply:
        """Have it load the engine; return what it says when it is ready, which must be what *card* says."""
        frame = self._exchange(start.frame(), timeout_s)
        try:
            if frame.text("kind") == "refusal":
                raise WorkerLostError(REFUSALS.get(frame.text("code"), REFUSALS["protocol"]))
            hello = ReadyReply.of(frame)
        except FrameError as error:
            raise WorkerLostError(REFUSALS["protocol"]) from error
        if (hello.engine_id, hello.dimensions, hello.weights_sha256) != (card.id, card.dimensions, card.weights_sha256):
            raise WorkerLostError("the engine is not the one on its card")
        return hello

    def measure(self, ask: MeasureRequest, *, dimensions: int, timeout_s: float) -> Measurement | Flaw:
        """Return its answer to one image.

        Raises:
            WorkerLateError: none within *timeout_s*. The worker must be ended: it is still at it.
            WorkerLostError: none at all, or not an answer. The worker must be ended.
        """
        frame = self._exchange(ask.frame(), timeout_s)
        try:
            return parse_reply(frame, dimensions=dimensions, keep_photo=ask.keep_photo)
        except FrameError as error:
            raise WorkerLostError(REFUSALS["protocol"]) from error

    def alive(self) -> bool:
        """Say whether the process still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it now, from any thread."""
        self._process.kill()

    def end(self) -> None:
        """Let it go: its input ends, and a moment later so does it, one way or the other."""
        self._in.close()
        try:
            self._process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()

    def _exchange(self, frame: Frame, timeout_s: float) -> Frame:
        deadline = time.monotonic() + timeout_s
        try:
            self._send(pack(frame), deadline)
            return read_frame(lambda count: self._read(count, deadline), max_blob_bytes=MAX_REPLY_BLOB_BYTES)
        except FrameError as error:
            raise WorkerLostError(REFUSALS["protocol"]) from error
        except OSError as error:
            raise WorkerLostError("the worker ended") from error

    def _send(self, raw: bytes, deadline: float) -> None:
        rest = memoryview(raw)
        while rest:
            _wait(self._in, select.POLLOUT, deadline)
            rest = rest[os.write(self._in.fileno(), rest[:_CHUNK]) :]

    def _read(self, count: int, deadline: float) -> bytes:
        got = bytearray()
        while len(got) < count:
            _wait(self._out, select.POLLIN, deadline)
            chunk = os.read(self._out.fileno(), min(count - len(got), _CHUNK))
            if not chunk:
                raise WorkerLostError("the worker ended")
            got += chunk
        return bytes(got)


def _wait(pipe: IO[bytes], event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(pipe.fileno(), event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise WorkerLateError


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise WorkerLostError("no pipe")
    return pipe
