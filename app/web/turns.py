"""Dependencies by which a route takes its turns (`app/web/lanes.py`)."""

from collections.abc import AsyncIterator

from fastapi import Depends, Request

from app.web.dependencies import AppLanes
from app.web.lanes import caller_of


async def _short_turn(request: Request, lanes: AppLanes) -> AsyncIterator[None]:
    async with lanes.short.turn(caller_of(request), request):
        yield


async def _photo_turn(request: Request, lanes: AppLanes) -> AsyncIterator[None]:
    async with lanes.photos.turn(caller_of(request), request):
        yield


async def _document_turn(request: Request, lanes: AppLanes) -> AsyncIterator[None]:
    async with lanes.documents.turn(caller_of(request), request):
        yield


async def _document_thread(lanes: AppLanes) -> AsyncIterator[None]:
    async with lanes.document_threads:
        yield


# With `scope="function"` the turn ends before the answer is sent: a client that reads slowly holds none.
SHORT_TURN = Depends(_short_turn, scope="function")
"""A route that answers with one small piece."""
PHOTO_TURN = Depends(_photo_turn, scope="function")
"""A route that may wait for the engine."""
DOCUMENT_TURNS = (Depends(_document_turn), Depends(_document_thread, scope="function"))
"""A route that answers with a document of the person: it waits for no short turn, and holds none."""
