"""Engine worker: a process that turns images into features, and can do nothing else.

It reads the start request, checks the weights and loads the engine. It warms up, enters the sandbox and warms up again.
Then it replies, and serves one image at a time until its input ends.

The parent starts ``python -m app.faces.workers.worker PARENT`` and exchanges ``messages`` over standard input and
output. An unexpected error ends the worker, and its parent starts another.
"""

import hashlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from app.faces.engine import Engine
from app.faces.workers import decode, frames, messages, pipeline, sandbox

_PIECE_BYTES: Final = 1024 * 1024
NICENESS: Final = 5
"""Lowers the priority of a worker: the API process, and with it every right, comes first where cores are few."""


class RefusedError(Exception):
    """This worker cannot serve. Its argument is one of ``messages.START_REFUSALS``."""


class Channel:
    """The two pipes to the parent. Output that a library prints is discarded."""

    def __init__(self) -> None:
        # Without buffers of their own, which would hold the end of the last photo.
        self._in, self._out = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.close(null)

    def receive(self) -> frames.Frame:
        """Return the next frame; end the process when the input ends."""
        return frames.read_frame(self._read, max_blob_bytes=messages.MAX_IMAGE_BYTES)

    def send(self, frame: frames.Frame) -> None:
        """Write one frame."""
        rest = memoryview(frames.pack(frame))
        while rest:
            rest = rest[os.write(self._out, rest) :]

    def _read(self, count: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < count:
            piece = os.read(self._in, min(count - len(pieces), _PIECE_BYTES))
            if not piece:
                sys.exit(0)
            pieces += piece
        return bytes(pieces)


def load_engine(spec: str, digests: Mapping[str, str], settings: Mapping[str, Any]) -> Engine:
    """Load the engine ``module:Class``, after each of its files has the expected SHA-256 (law 12).

    Raises:
        RefusedError: a file is missing or differs, or the engine does not load.
    """
    module, _, name = spec.partition(":")
    try:
        engine_class: Any = getattr(importlib.import_module(module), name)
        files: Mapping[str, Path] = engine_class.weights_files(settings)
    except (ImportError, AttributeError, TypeError, KeyError, OSError) as error:
        raise RefusedError("engine_unusable") from error
    if files.keys() != digests.keys():
        raise RefusedError("weights_differ")
    if any(_sha256(path) != digests[file] for file, path in files.items()):
        raise RefusedError("weights_differ")
    with refuse_on_error():
        engine: Engine = engine_class(digests, settings)
    return engine


def main(parent: int) -> None:
    """Run a worker of the process *parent*."""
    os.nice(NICENESS)
    channel = Channel()
    try:
        start = messages.StartRequest.from_frame(channel.receive())
        engine = load_engine(start.engine, start.digests, start.settings)
        missing = _enter_sandbox(engine, start, parent)
    except frames.FrameError:
        channel.send(messages.refusal_frame("protocol"))
    except RefusedError as error:
        channel.send(messages.refusal_frame(str(error)))
    else:
        channel.send(messages.ReadyReply(engine.id, engine.dimensions, engine.weights_sha256, missing).frame())
        _serve(channel, engine, start.max_pixels)


def _enter_sandbox(engine: Engine, start: messages.StartRequest, parent: int) -> tuple[str, ...]:
    """Enter the sandbox and return the missing protections.

    The second warm-up makes a step that the sandbox breaks fail here, and not on a subject's photo.
    """
    decode.harden()
    with refuse_on_error():
        pipeline.warm_up(engine, start.max_pixels)
        orphaned = () if sandbox.die_with_parent(parent) else ("dies_with_parent",)
        missing = (*orphaned, *sandbox.enter_sandbox(start.memory_bytes))
        pipeline.warm_up(engine, start.max_pixels)
    return missing


@contextmanager
def refuse_on_error() -> Iterator[None]:
    """Turn the errors of an engine into a `RefusedError`."""
    try:
        yield
    except pipeline.UnusableVectorError as error:
        raise RefusedError("vector_unusable") from error
    except Exception as error:  # an engine may raise anything
        raise RefusedError("engine_unusable") from error


def _serve(channel: Channel, engine: Engine, max_pixels: int) -> None:
    while True:
        _answer(channel, engine, max_pixels)


def _answer(channel: Channel, engine: Engine, max_pixels: int) -> None:
    """Answer one frame. No variable outlives it, so the photo and the vector are freed, and thereby overwritten."""
    frame = channel.receive()
    if frame == messages.forget_frame():
        pipeline.forget(engine)
        channel.send(frame)
        return
    request = messages.MeasureRequest.from_frame(frame)
    answer = pipeline.measure(
        engine, request.image, use=request.use, keep_photo=request.keep_photo, max_pixels=max_pixels
    )
    channel.send(answer.frame() if isinstance(answer, messages.Measurement) else messages.flaw_frame(answer))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RefusedError("weights_missing") from error


if __name__ == "__main__":
    main(int(sys.argv[1]))
