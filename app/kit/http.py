"""What routes are given: transactions and the time of the request.

What only hands over something that is there is `async`: it runs where it is, not in a thread that has to be woken.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request, Response
from sqlalchemy.orm import Session
from starlette.formparsers import MultiPartParser

from app.kit.clock import Clock
from app.kit.db import Store
from app.kit.prepared import MET
from app.kit.settings import Settings

NO_STORE = {"Cache-Control": "no-store"}
"""For every answer about a person."""


async def _no_store(response: Response) -> None:
    response.headers.update(NO_STORE)


PRIVATE = [Depends(_no_store)]
"""The `dependencies` of a route whose answer is about a person: no cache keeps it."""

# Starlette writes an upload over 1 MiB to a temporary file, in the clear. Uploads stay in memory instead: their size
# is bounded before, by the route's `max_body_size`.
MultiPartParser.spool_max_size = 1 << 40


async def _read(request: Request) -> AsyncIterator[Session]:
    # It begins with the first query, in the route's thread; ending it has nothing to wait for.
    data: Store = request.app.state.data
    with Session(data.reader, expire_on_commit=False, info={MET: data.trouble.met}) as session:
        yield session


def _write(request: Request) -> Iterator[Session]:
    with request.app.state.data.write() as session:
        yield session


# `scope="function"` ends the dependency, and so commits, before the response: otherwise a failed commit answers 201.
Read = Annotated[Session, Depends(_read, scope="function")]
"""One read transaction."""
Tx = Annotated[Session, Depends(_write, scope="function")]
"""One write transaction, committed before the response."""


async def _clock(request: Request) -> Clock:
    clock: Clock = request.app.state.clock
    return clock


async def _now(request: Request) -> datetime:
    clock: Clock = request.app.state.clock
    return clock()


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


TellTime = Annotated[Clock, Depends(_clock)]
"""For verbs that last: the time when they began is not the time when they decide."""
Now = Annotated[datetime, Depends(_now)]
"""The one reference time of a request."""
Config = Annotated[Settings, Depends(_settings)]
"""The settings."""
