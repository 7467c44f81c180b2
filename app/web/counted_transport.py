"""A transport that knows how much of the answers its client has read."""

import asyncio
import fcntl
import socket
import struct
import termios
from typing import Any

MIN_READ_BYTES = 16 * 1024
"""Bytes that a client must read in the time for it, unless fewer are left."""
RESET = struct.pack("ii", 1, 0)
"""`SO_LINGER` of 0 seconds: the system drops what it has not sent, and does not wait for the client."""


class CountedTransport:
    """Counts the bytes that are written; all else is the transport's own.

    `close` of a transport waits until all is sent, so a client that never reads keeps its connection.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        # These are called for each request.
        self.is_closing, self.get_write_buffer_size = transport.is_closing, transport.get_write_buffer_size
        self._written = 0
        self._read = 0
        self._read_at: float | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute
        """Return an attribute of the transport."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, and count."""
        self._written += len(data)
        self._transport.write(data)

    def unread_for(self, now: float) -> float:
        """Return the seconds in which the client read too little; 0 if nothing waits in this process."""
        unsent = self._transport.get_write_buffer_size()
        read = self._written - unsent - self._queued()
        if not unsent:
            self._read_at = None
        elif self._read_at is None or read >= self._read + MIN_READ_BYTES:
            self._read, self._read_at = read, now
        return 0.0 if self._read_at is None else now - self._read_at

    def reset(self) -> None:
        """End the connection, and let the system drop the bytes that it has not sent."""
        connection = self._transport.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()

    def _queued(self) -> int:
        """Return the bytes that the system has not delivered; 0 where it does not tell."""
        connection = self._transport.get_extra_info("socket")
        try:
            return int.from_bytes(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)), "little")
        except (OSError, AttributeError):
            return 0
