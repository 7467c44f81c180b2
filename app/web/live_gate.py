"""The gate of the live profile: nobody new, no photo and no comparison while something is missing that law asks for.

What people have a right to never passes here, nor does what ends something.
"""

import threading
import time
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from app.kit.errors import Problem

LOOK_S = 5.0
"""Seconds for which an answer holds: looking reads what the operator said, which is not said often."""


class NotReadyError(Problem):
    """The service is for real people and lacks something without which it must not enrol or compare anybody."""

    status = 503
    slug = "not-ready"
    title = "Not ready to serve people"
    detail = (
        "The operator has yet to complete what `GET /readyz` lists. Until then nobody is registered, enrolled or "
        "compared. Your rights are not affected: see, take, withdraw, restrict and erase as always."
    )


class LiveGate:
    """Asks now and then whether anything is missing."""

    def __init__(self, complete: Callable[[], bool]) -> None:
        self._complete = complete
        self._asking = threading.Lock()
        self._open = False
        self._until = 0.0

    def check(self) -> None:
        """Let pass.

        Raises:
            NotReadyError: something is missing.
        """
        with self._asking:
            if time.monotonic() >= self._until:
                self._open = self._complete()
                self._until = time.monotonic() + LOOK_S
            if not self._open:
                raise NotReadyError


def _gate(request: Request) -> LiveGate | None:
    found: LiveGate | None = request.app.state.gate
    return found


async def _check(request: Request) -> None:
    gate = _gate(request)
    if gate is not None:
        await run_in_threadpool(gate.check)


async def _hand_over(request: Request) -> LiveGate | None:
    return _gate(request)


BEHIND_LIVE_GATE = [Depends(_check)]
"""The `dependencies` of a route by which people's faces are registered, enrolled or compared."""
OptionalLiveGate = Annotated[LiveGate | None, Depends(_hand_over)]
"""For a route that must let some requests pass: None in `prototype`, where there is no gate."""
