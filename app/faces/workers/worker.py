"""An engine worker: a process of its own that turns images into features, and can do nothing else.

Order: read what to become; check the weights; load; warm up; wall itself in; prove that it still works; say hello;
serve one image at a time until its input ends. It is started as ``python -m app.faces.workers.worker PARENT`` and
speaks ``messages`` over its standard input and output. An unforeseen error ends it; its parent starts another.
"""

import hashlib
import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from app.faces.engine import Engine
from app.faces.workers import decode, frames, messages, pipeline, sandbox


class RefusedError(Exception):
    """This worker cannot serve.

    Args:
        code: one of ``messages.REFUSALS``.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Channel:
    """The two pipes to the parent. Whatever a library prints goes nowhere."""

    def __init__(self) -> None:
        self._in: BinaryIO = os.fdopen(os.dup(0), "rb")
        self._out: BinaryIO = os.fdopen(os.dup(1), "wb")
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.close(nowhere)

    def receive(self) -> frames.Frame:
        """Return the next frame; end the process when there is none."""
        return frames.read_frame(self._read, max_blob_bytes=messages.MAX_IMAGE_BYTES)

    def send(self, frame: frames.Frame) -> None:
        """Send one frame."""
        self._out.write(frames.pack(frame))
        self._out.flush()

    def _read(self, count: int) -> bytes:
        chunk = self._in.read(count)
        if len(chunk) < count:
            sys.exit(0)
        return chunk


def load_engine(spec: str, digests: Mapping[str, str], settings: Mapping[str, Any]) -> Engine:
    """Make the engine named ``module:Class``, once each file it would load has the expected SHA-256 (law 12).

    Raises:
        RefusedError: a file is missing or another one, or the engine does not load.
    """
    module, _, name = spec.partition(":")
    try:
        kind = getattr(importlib.import_module(module), name)
        files: Mapping[str, Path] = kind.weights_files(settings)
    except (ImportError, AttributeError, TypeError, KeyError, OSError) as error:
        raise RefusedError("engine_unusable") from error
    if files.keys() != digests.keys():
        raise RefusedError("weights_differ")
    for file, path in files.items():
        if _sha256(path) != digests[file]:
            raise RefusedError("weights_differ")
    return _made(kind, digests, settings)


def main(parent: int) -> None:
    """Become a worker of the process *parent*."""
    channel = Channel()
    try:
        start = messages.StartRequest.of(channel.receive())
        engine = load_engine(start.engine, start.digests, start.settings)
        missing = _sealed(engine, start, parent)
    except frames.FrameError:
        channel.send(messages.RefusalReply("protocol").frame())
    except RefusedError as refused:
        channel.send(messages.RefusalReply(refused.code).frame())
    else:
        channel.send(messages.ReadyReply(engine.id, engine.dimensions, engine.weights_sha256, missing).frame())
        _serve(channel, engine, start.max_pixels)


def _sealed(engine: Engine, start: messages.StartRequest, parent: int) -> tuple[str, ...]:
    """Warm up, seal, and warm up again: what the seal breaks must show here, not on a person's photo."""
    decode.harden()
    try:
        pipeline.warm_up(engine, start.max_pixels)
        orphaned = () if sandbox.die_with_parent(parent) else ("dies_with_parent",)
        missing = (*orphaned, *sandbox.enter_sandbox(start.memory_bytes))
        pipeline.warm_up(engine, start.max_pixels)
    except pipeline.UnusableVectorError as error:
        raise RefusedError("vector_unusable") from error
    except Exception as error:  # an engine may raise anything
        raise RefusedError("engine_unusable") from error
    return missing


def _serve(channel: Channel, engine: Engine, max_pixels: int) -> None:
    while True:
        ask = messages.MeasureRequest.of(channel.receive())
        answer = pipeline.measure(engine, ask.image, keep_photo=ask.keep_photo, max_pixels=max_pixels)
        channel.send(answer.frame() if isinstance(answer, messages.Measurement) else messages.flaw_frame(answer))


def _made(kind: Any, digests: Mapping[str, str], settings: Mapping[str, Any]) -> Engine:  # noqa: ANN401 - a class named in a setting
    try:
        engine: Engine = kind(digests, settings)
    except Exception as error:  # an engine may raise anything
        raise RefusedError("engine_unusable") from error
    return engine


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RefusedError("weights_missing") from error


if __name__ == "__main__":
    main(int(sys.argv[1]))
