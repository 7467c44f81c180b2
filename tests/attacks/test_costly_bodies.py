"""Bodies that cost much time to parse do not hold up the requests of others."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message

from app.web.forms import INLINE_BYTES, MAX_PARTS, StrictRequest
from app.web.lanes import Lanes
from tests.support.application_state import application_with

pytestmark = pytest.mark.unit

OBJECTS = b"[" + b"{}," * 80_000 + b"{}]"
FORM = "multipart/form-data; boundary=b"


def request(body: bytes, kind: str) -> StrictRequest:
    """Return a request with *body*, which notes on `state.read` that the body was read."""
    app = application_with(lanes=Lanes(engine_jobs=1))
    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind.encode())], "app": app, "state": {}}
    made: StrictRequest

    async def receive() -> Message:
        made.state.read = True
        return {"type": "http.request", "body": body, "more_body": False}

    made = StrictRequest(scope, receive)
    made.state.read = False
    return made


def rounds_of_others(work: Callable[[], Coroutine[Any, Any, object]]) -> int:
    """Return how many rounds of the event loop other requests get while *work* is done."""

    async def count() -> int:
        rounds, done = 0, asyncio.create_task(work())
        await asyncio.sleep(0)
        while not done.done():
            await asyncio.sleep(0)
            rounds += 1
        await done
        return rounds

    return asyncio.run(count())


def test_large_json_is_parsed_beside_other_requests() -> None:
    small = b"[" + b" " * (INLINE_BYTES - 2) + b"]"

    assert rounds_of_others(lambda: request(OBJECTS, "application/json").json()) > 10
    assert rounds_of_others(lambda: request(small, "application/json").json()) <= 2


def test_form_without_files_is_not_read() -> None:
    sent = request(b"&" * 1_000_000, "application/x-www-form-urlencoded")
    form = asyncio.run(sent._get_form())

    assert (len(form), sent.state.read) == (0, False)


@pytest.mark.parametrize("more", [{}, {"filename": "a.png"}], ids=["fields", "files"])
@pytest.mark.parametrize(("count", "accepted"), [(MAX_PARTS, True), (MAX_PARTS + 1, False)])
def test_form_has_few_parts(more: dict[str, str], count: int, *, accepted: bool) -> None:
    piece = b'--b\r\nContent-Disposition: form-data; name="photos"%s\r\n\r\nx\r\n'
    named = b"".join(b'; %s="%s"' % (name.encode(), value.encode()) for name, value in more.items())
    sent = request(piece % named * count + b"--b--\r\n", FORM)

    async def count_parts() -> int:
        try:
            async with sent.form() as form:
                return len(form.multi_items())
        except HTTPException as refused:
            return refused.status_code

    parts = asyncio.run(count_parts())

    assert parts == (count if accepted else 400)
