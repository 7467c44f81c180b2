"""Parent's side of one engine worker: start it, send it requests with a deadline, end it.

A worker is not trusted: output in any other form than the protocol's ends it (``WorkerLostError``).
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
    START_REFUSALS,
    Measurement,
    MeasureRequest,
    ReadyReply,
    StartRequest,
    forget_frame,
    parse_reply,
)

ROOT: Final = Path(__file__).parents[3]
"""The directory that holds the package ``app``."""
_INHERITED: Final = ("LD_LIBRARY_PATH", "PYTHONHOME")
"""Variables that some Python builds need to start. The worker gets no others: they may hold secrets."""
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
"""A worker uses one core, and cannot start threads inside the sandbox."""
_WIPED_WHEN_FREED: Final = {"MALLOC_PERTURB_": "165", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
"""The C library overwrites each piece of memory that a worker frees, small ones too: pixels, crops and vectors."""
_CHUNK: Final = 1024 * 1024
_PIPE_BYTES: Final = 1024 * 1024
"""Capacity of the pipe to the worker, the most that Linux allows without privileges. It holds most photos at once; with
the usual 64 KiB the two processes wait for each other after every chunk."""
_END_TIMEOUT_S: Final = 2.0


class WorkerLostError(Exception):
    """The worker died, broke the protocol or could not start; the message gives the reason, without personal data."""


class WorkerLateError(Exception):
    """The worker did not answer before its deadline."""


class WorkerProcess:
    """One worker process. The thread that starts it must outlive it: the kernel ends the worker with the thread."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-s", "-m", "app.faces.workers.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a traceback could contain personal data
            bufsize=0,
            cwd=ROOT,
            env=worker_environment(),
            start_new_session=True,  # Ctrl-C must not reach the worker: running jobs are finished
        )
        self._ready_by = 0.0
        self._in, self._out = _pipe(self._process.stdin), _pipe(self._process.stdout)
        for pipe in (self._in, self._out):
            os.set_blocking(pipe.fileno(), False)
        with contextlib.suppress(OSError):  # the user's limit of pipe memory may be reached
            fcntl.fcntl(self._in.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def start(self, start: StartRequest, card: Card, *, timeout_s: float) -> ReadyReply:
        """Let the worker load its engine. Return its reply, which must agree with *card*.

        Raises:
            WorkerLateError: it is not ready within *timeout_s*.
            WorkerLostError: it cannot serve, or its engine is not the one on the card.
        """
        self.begin(start, timeout_s=timeout_s)
        return self.finish_start(card)

    def begin(self, start: StartRequest, *, timeout_s: float) -> None:
        """Send the start request; the worker loads its engine meanwhile. Call `finish_start` next.

        Raises:
            WorkerLateError: it takes no request within *timeout_s*.
            WorkerLostError: it ended.
        """
        self._ready_by = time.monotonic() + timeout_s
        self._send_frame(start.frame(), self._ready_by)

    def may_finish_start(self) -> bool:
        """Return whether `finish_start` would return or raise without waiting for the engine."""
        poll = select.poll()
        poll.register(self._out.fileno(), select.POLLIN)
        return bool(poll.poll(0)) or time.monotonic() > self._ready_by

    def finish_start(self, card: Card) -> ReadyReply:
        """Wait for the reply to `begin`, which must agree with *card*.

        Raises:
            WorkerLateError: it did not come in time.
            WorkerLostError: the worker cannot serve, or its engine is not the one on the card.
        """
        frame = self._receive_frame(self._ready_by)
        try:
            if frame.text("kind") == "refusal":
                raise WorkerLostError(START_REFUSALS.get(frame.text("code"), START_REFUSALS["protocol"]))
            ready = ReadyReply.from_frame(frame)
        except FrameError as error:
            raise WorkerLostError(START_REFUSALS["protocol"]) from error
        if (ready.engine_id, ready.dimensions, ready.weights_sha256) != (card.id, card.dimensions, card.weights_sha256):
            raise WorkerLostError("the engine is not the one on its card")
        return ready

    def measure(self, request: MeasureRequest, *, dimensions: int, timeout_s: float) -> Measurement | Flaw:
        """Return the worker's answer to one image. After an error the caller must end the worker.

        Raises:
            WorkerLateError: no answer within *timeout_s*; the worker still computes.
            WorkerLostError: the worker ended, or its output is no answer.
        """
        deadline = time.monotonic() + timeout_s
        self._send_frame(request.frame(), deadline)
        frame = self._receive_frame(deadline)
        try:
            return parse_reply(frame, dimensions=dimensions, keep_photo=request.keep_photo)
        except FrameError as error:
            raise WorkerLostError(START_REFUSALS["protocol"]) from error

    def forget(self, *, timeout_s: float) -> None:
        """Let the worker overwrite its engine's memory of the last face.

        Raises:
            WorkerLateError: no answer within *timeout_s*.
            WorkerLostError: the worker ended, or its output is no answer.
        """
        deadline = time.monotonic() + timeout_s
        self._send_frame(forget_frame(), deadline)
        if self._receive_frame(deadline) != forget_frame():
            raise WorkerLostError(START_REFUSALS["protocol"])

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the worker now; may be called from any thread."""
        self._process.kill()

    def end(self) -> None:
        """Close the worker's input, so that it ends. Kill it if it does not."""
        self._in.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()

    def _send_frame(self, frame: Frame, deadline: float) -> None:
        try:
            self._send(pack(frame), deadline)
        except OSError as error:
            raise WorkerLostError("the worker ended") from error

    def _receive_frame(self, deadline: float) -> Frame:
        try:
            return read_frame(lambda count: self._read(count, deadline), max_blob_bytes=MAX_REPLY_BLOB_BYTES)
        except FrameError as error:
            raise WorkerLostError(START_REFUSALS["protocol"]) from error
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


def worker_environment() -> dict[str, str]:
    """Return the variables of a worker."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | _ONE_THREAD | _WIPED_WHEN_FREED


def _wait(pipe: IO[bytes], event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(pipe.fileno(), event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise WorkerLateError


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise WorkerLostError("no pipe")
    return pipe
