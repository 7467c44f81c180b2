"""Objects that routes depend on: transactions, stores, engine, settings and the time of the request.

Dependencies without I/O are `async`: they run in the event loop and need no thread.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response, UploadFile
from sqlalchemy.orm import Session

from app.db.sqlite.store import Store
from app.faces.service import RunningEngine
from app.kit.clock import Clock
from app.settings import Settings
from app.vault.vault import Vault
from app.web.metrics import Metrics
from app.web.problems import TooLargeError

NO_STORE = {"Cache-Control": "no-store"}
"""The headers of every answer with personal data."""


async def _no_store(response: Response) -> None:
    response.headers.update(NO_STORE)


PRIVATE = [Depends(_no_store)]
"""The `dependencies` of a route whose answer holds personal data: no cache stores it."""


async def _read(request: Request) -> AsyncIterator[Session]:
    # The transaction begins with the first query, in the route's thread; ending it never waits.
    data: Store = request.app.state.data
    with Session(data.reader, expire_on_commit=False) as session:
        yield session


def _write(request: Request) -> Iterator[Session]:
    with request.app.state.data.write() as session:
        yield session


# `scope="function"` commits before the response is sent; otherwise a failed commit would answer 201.
Read = Annotated[Session, Depends(_read, scope="function")]
"""One read transaction."""
Tx = Annotated[Session, Depends(_write, scope="function")]
"""One write transaction, committed before the response."""


def from_state(name: str) -> Any:  # noqa: ANN401 - the annotation beside it has the type
    """Return a dependency on an object that the application keeps under *name*."""

    async def read(request: Request) -> Any:  # noqa: ANN401
        return getattr(request.app.state, name)

    return Depends(read)


AppSettings = Annotated[Settings, from_state("settings")]
"""The settings."""
AppEngine = Annotated[RunningEngine, from_state("engine")]
"""The engine in force."""
AppVault = Annotated[Vault, from_state("vault")]
"""Both stores, for services that open several short transactions."""
AppMetrics = Annotated[Metrics, from_state("metrics")]
"""The counts of the application."""
AppClock = Annotated[Clock, from_state("clock")]
"""For services that take long: their decision needs a later time than their beginning."""


async def _now(clock: AppClock) -> datetime:
    return clock()


Now = Annotated[datetime, Depends(_now)]
"""The one reference time of a request."""


def image_bytes(upload: UploadFile, *, limit: int) -> bytes:
    """Return the content of an uploaded file, which is in memory already.

    Raises:
        TooLargeError: it has more than *limit* bytes.
    """
    if upload.size is not None and upload.size > limit:
        raise TooLargeError
    return upload.file.read()
