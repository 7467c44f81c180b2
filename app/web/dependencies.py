"""Objects that routes depend on: transactions, stores, engine, settings and the time of the request.

Dependencies without I/O are `async`: they run in the event loop and need no thread.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response, UploadFile
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.faces.service import RunningEngine
from app.kit.clock import Clock
from app.settings import Settings
from app.vault.kept_answers import RequestsInProgress
from app.vault.vault import Vault
from app.web.application_state import ApplicationState, state_of
from app.web.lanes import Lanes
from app.web.live_gate import LiveGate
from app.web.metrics import Metrics
from app.web.problems import TooLargeError
from app.web.rate_limit import RateLimiter

T = TypeVar("T")

NO_STORE = {"Cache-Control": "no-store"}
"""The headers of every answer with personal data."""


async def _no_store(response: Response) -> None:
    response.headers.update(NO_STORE)


PRIVATE = [Depends(_no_store)]
"""The `dependencies` of a route whose answer holds personal data: no cache stores it."""


async def _read(request: Request) -> AsyncIterator[Session]:
    # The transaction begins with the first query, in the route's thread; ending it never waits.
    data = state_of(request, ApplicationState).vault.data
    with Session(data.reader, expire_on_commit=False) as session:
        yield session


def _write(request: Request) -> Iterator[Session]:
    with state_of(request, ApplicationState).vault.data.write() as session:
        yield session


# `scope="function"` commits before the response is sent; otherwise a failed commit would answer 201.
Read = Annotated[Session, Depends(_read, scope="function")]
"""One read transaction."""
Tx = Annotated[Session, Depends(_write, scope="function")]
"""One write transaction, committed before the response."""


def _part(read: Callable[[ApplicationState], T]) -> Callable[[Request], Coroutine[Any, Any, T]]:
    """Return a dependency on one part of the application's state."""

    async def find(request: Request) -> T:
        return read(state_of(request, ApplicationState))

    return find


AppSettings = Annotated[Settings, Depends(_part(lambda state: state.settings))]
"""The settings."""
AppEngine = Annotated[RunningEngine, Depends(_part(lambda state: state.engine))]
"""The engine in force."""
AppVault = Annotated[Vault, Depends(_part(lambda state: state.vault))]
"""Both stores, for services that open several short transactions."""
AppMetrics = Annotated[Metrics, Depends(_part(lambda state: state.metrics))]
"""The counts of the application."""
AppLanes = Annotated[Lanes, Depends(_part(lambda state: state.lanes))]
"""The lanes of the application."""
AppRequestsInProgress = Annotated[RequestsInProgress, Depends(_part(lambda state: state.in_progress))]
"""The Idempotency-Keys in use now."""
AppSignUps = Annotated[RateLimiter, Depends(_part(lambda state: state.sign_ups))]
"""The limit on sign-ups from one network address."""
AppRecoveries = Annotated[RateLimiter, Depends(_part(lambda state: state.recoveries))]
"""The limit on wrong recovery codes from one network address."""
AppClock = Annotated[Clock, Depends(_part(lambda state: state.clock))]
"""For services that take long: their decision needs a later time than their beginning."""


async def _now(clock: AppClock) -> datetime:
    return clock()


Now = Annotated[datetime, Depends(_now)]
"""The one reference time of a request."""


OptionalLiveGate = Annotated[LiveGate | None, Depends(_part(lambda state: state.gate))]
"""For a route that checks only some requests; None in `prototype`, which has no live requirements."""


async def _check(gate: OptionalLiveGate) -> None:
    if gate is not None:
        await run_in_threadpool(gate.check)


BEHIND_LIVE_GATE = [Depends(_check)]
"""The `dependencies` of a route that registers people, or that enrols or compares faces."""


def image_bytes(upload: UploadFile, *, limit: int) -> bytes:
    """Return the content of an uploaded file, which is in memory already.

    Raises:
        TooLargeError: it has more than *limit* bytes.
    """
    if upload.size is not None and upload.size > limit:
        raise TooLargeError
    return upload.file.read()
