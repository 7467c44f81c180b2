"""Reads from connections into a buffer that is wiped after each read.

uvloop reads into a buffer of 256 KiB of its own, and keeps it: a core held most of the last photo long after its
erasure.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from app.kit.process_memory import wipe

READ_BYTES = 256 * 1024
"""The most that one read takes, as without this class."""


class WipedReads:
    """Makes the protocol of each connection of one server. All connections share one buffer: reads do not overlap."""

    def __init__(self, make_protocol: Callable[..., asyncio.Protocol]) -> None:
        self._make_protocol = make_protocol
        self._buffer = memoryview(bytearray(READ_BYTES))

    def __call__(self, *arguments: Any, **options: Any) -> asyncio.BaseProtocol:  # noqa: ANN401 - uvicorn's own
        """Return the protocol of a new connection."""
        return _BufferedProtocol(self._make_protocol(*arguments, **options), self._buffer)


class _BufferedProtocol(asyncio.BufferedProtocol):
    """Hands the bytes of each read to another protocol, and wipes the buffer."""

    def __init__(self, protocol: asyncio.Protocol, buffer: memoryview) -> None:
        self._buffer = buffer
        self._data_received = protocol.data_received
        self.connection_made = protocol.connection_made  # type: ignore[method-assign]
        self.connection_lost = protocol.connection_lost  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the transport's wish
        """Return the buffer for the next read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was read."""
        read = self._buffer[:nbytes]
        data = bytes(read)
        wipe(read)
        self._data_received(data)
