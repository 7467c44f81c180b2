"""Memory for the bodies of requests in progress: one budget for photos and another for all other bodies.

The route knows the caller before it reads the body, so one caller never takes the memory of the others.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from starlette.types import Message, Receive

from app.kit.errors import BusyError
from app.settings import MIB, Settings

UPLOAD_SHARE = 4
"""One caller gets the memory for photos divided by this, or the memory of the largest body if that is more."""
JSON_MEMORY = 64 * MIB
"""Bytes of all bodies without a photo."""
JSON_SHARE = 8 * MIB
"""Bytes of one caller's bodies without a photo."""


class BodyMemory:
    """One budget. It is used in the event loop only.

    Args:
        total: bytes of all bodies.
        share: bytes of one caller's bodies; 503 `busy` above that.
        always: bytes that each caller gets even if *total* is used up, so that no one else can have a right refused.
    """

    def __init__(self, *, total: int, share: int, always: int = 0) -> None:
        self._free = total
        self._share = share
        self._always = always
        self._held: Counter[Hashable] = Counter()

    def body(self, caller: Hashable, receive: Receive) -> "BodyInProgress":
        """Count the body of one request of *caller* during a block."""
        return BodyInProgress(self, caller, receive)

    def reserve(self, caller: Hashable, count: int) -> bool:
        """Reserve memory; False if the caller may not have more, or not enough is free."""
        held = self._held[caller] + count
        if held > self._always and (held > self._share or count > self._free):
            return False
        self._held[caller] = held
        self._free -= count
        return True

    def release(self, caller: Hashable, count: int) -> None:
        """Free reserved memory."""
        self._free += count
        self._held[caller] -= count
        if not self._held[caller]:
            del self._held[caller]


@dataclass(frozen=True, slots=True)
class BodyBudgets:
    """The budgets of one application."""

    photos: BodyMemory
    others: BodyMemory

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make the budgets; the first body of a caller without a photo always finds memory."""
        total = settings.bodies_memory_mib * MIB
        return cls(
            photos=BodyMemory(total=total, share=max(total // UPLOAD_SHARE, settings.max_enrolment_bytes)),
            others=BodyMemory(total=JSON_MEMORY, share=JSON_SHARE, always=settings.max_json_bytes),
        )


class BodyInProgress:
    """The body of one request, from its first byte until the request is handled."""

    def __init__(self, memory: BodyMemory, caller: Hashable, receive: Receive) -> None:
        self._memory = memory
        self._caller = caller
        self._receive = receive
        self._reserved = 0

    def __enter__(self) -> Self:
        """Begin with no memory."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Free the memory."""
        self._memory.release(self._caller, self._reserved)

    async def receive(self) -> Message:
        """Receive the next piece.

        Raises:
            BusyError: the caller's memory, or that of all bodies, is used up.
        """
        message = await self._receive()
        count = len(message.get("body", b""))
        if not self._memory.reserve(self._caller, count):
            raise BusyError
        self._reserved += count
        return message
