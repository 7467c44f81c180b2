"""What routes are given: transactions and the time of the request.

What only hands over something that is there is `async`: it runs where it is, not in a thread that has to be woken.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request, Response, UploadFile
from sqlalchemy.orm import Session
from starlette.formparsers import MultiPartParser

from app.db.sqlite.prepared import MET
from app.db.sqlite.store import Store
from app.faces.service import Measuring
from app.kit.clock import Clock
from app.settings import Settings
from app.vault.vault import Vault
from app.web.problems import TooLargeError

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


AppClock = Annotated[Clock, Depends(_clock)]
"""For verbs that last: the time when they began is not the time when they decide."""
Now = Annotated[datetime, Depends(_now)]
"""The one reference time of a request."""
Config = Annotated[Settings, Depends(_settings)]
"""The settings."""


async def _vault(request: Request) -> Vault:
    vault: Vault = request.app.state.vault
    return vault


async def _measuring(request: Request) -> Measuring:
    measuring: Measuring = request.app.state.measuring
    return measuring


Transactions = Annotated[Vault, Depends(_vault)]
"""For services that open several short transactions with work between them."""
Faces = Annotated[Measuring, Depends(_measuring)]
"""The engine in force."""


def image_bytes(upload: UploadFile, *, limit: int) -> bytes:
    """Return an uploaded file, which is in memory already.

    Raises:
        TooLargeError: it has more than *limit* bytes.
    """
    if upload.size is not None and upload.size > limit:
        raise TooLargeError
    return upload.file.read()
