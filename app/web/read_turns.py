"""Turns of connections whose bodies arrive: each round of the event loop reads from few of them.

Without turns, one round reads from every connection that sends, and all other requests wait for that long.
"""

import asyncio
from collections import deque
from enum import Enum, auto

from uvicorn.protocols.http.flow_control import FlowControl

READS_PER_ROUND = 2
"""Connections that begin a turn in one round of the event loop. A turn is one read, of at most `READ_BYTES`."""


class Pause(Enum):
    """A reason not to read from a connection."""

    APPLICATION = auto()
    """It has not taken the bytes that came."""
    UNPARSED = auto()
    """Bytes wait to be parsed."""
    TURN = auto()
    """The turns of other connections come first."""


class ReadTurns:
    """The turns of all connections of one listener. They are used in the event loop only."""

    def __init__(self) -> None:
        self._waiting: deque[TurnFlow] = deque()
        self._due = False

    def wait(self, flow: "TurnFlow", loop: asyncio.AbstractEventLoop) -> None:
        """Let *flow* pause until its turn comes."""
        if not flow.pause(Pause.TURN):
            return
        self._waiting.append(flow)
        if not self._due:
            self._due = True
            loop.call_soon(self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(READS_PER_ROUND, len(self._waiting))):
            self._waiting.popleft().resume(Pause.TURN)
        self._due = bool(self._waiting)
        if self._due:
            loop.call_soon(self._begin, loop)


class TurnFlow(FlowControl):
    """Reads from a connection while there is no reason to pause."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._pauses: set[Pause] = set()

    def pause(self, reason: Pause) -> bool:
        """Do not read until `resume` with the same reason. Return whether the reason is new."""
        if reason in self._pauses:
            return False
        if not self._pauses and not self._transport.is_closing():
            self._transport.pause_reading()
        self._pauses.add(reason)
        return True

    def resume(self, reason: Pause) -> None:
        """Read again if there is no other reason to pause."""
        if reason in self._pauses:
            self._pauses.discard(reason)
            if not self._pauses and not self._transport.is_closing():
                self._transport.resume_reading()

    def pause_reading(self) -> None:
        """Do not read until the application takes the bytes that came."""
        self.pause(Pause.APPLICATION)

    def resume_reading(self) -> None:
        """The application takes more bytes."""
        self.resume(Pause.APPLICATION)
