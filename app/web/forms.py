"""Parse multipart forms as RFC 2046 describes them: complete ones only, and without their preamble; and strict JSON.

Starlette's parser takes a form as whole wherever its bytes end, and refuses text before the first boundary. Of two
members of JSON with one name it takes the last. It also parses large forms without files, which no route takes: one of
8 MB of `&` took ten seconds.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from app.kit.json import RepeatedMemberError, parse_json
from app.web.application_state import ApplicationState, state_of

MULTIPART: Final = b"multipart/form-data"
# Starlette writes uploads over 1 MiB to temporary files, unencrypted. With this limit they stay in memory; the route's
# `max_body_size` bounds their size.
SPOOL_BYTES: Final = 1 << 40
UNCLOSED: Final = "The form has no closing boundary, so a part may be missing. Send all of it again"

MAX_PARTS: Final = 64
"""Files of a form, and as many other fields. Each costs time in the event loop."""
INLINE_BYTES: Final = 4096
"""A larger body of JSON is parsed in a thread: 256 KiB of `{}` take 50 ms, in which no other request goes on. A larger
form without files is not read: it lacks the files anyway."""
REPEATED: Final = "The JSON names a member twice in one object. Send each member once"


class _FormParser(MultiPartParser):
    """Starlette's parser, which fails if the closing boundary is missing."""

    spool_max_size = SPOOL_BYTES
    _closed = False

    def on_end(self) -> None:
        """Record the closing boundary."""
        self._closed = True

    async def parse(self) -> FormData:
        """Parse the whole form."""
        form = await super().parse()
        if not self._closed:
            for file in self._files_to_close_on_error:
                file.close()
            raise MultiPartException(UNCLOSED)
        return form


class StrictRequest(Request):
    """A request whose multipart form or JSON is checked."""

    async def json(self) -> Any:  # noqa: ANN401 - any JSON
        """Parse the body as JSON."""
        body = await self.body()
        try:
            if len(body) <= INLINE_BYTES:
                return parse_json(body)
            return await run_sync(parse_json, body, limiter=state_of(self, ApplicationState).lanes.parsing_threads)
        except RepeatedMemberError as error:
            raise HTTPException(400, REPEATED) from error

    async def _get_form(
        self, *, max_files: float = MAX_PARTS, max_fields: float = MAX_PARTS, max_part_size: int = 1024 * 1024
    ) -> FormData:
        kind, options = parse_options_header(self.headers.get("Content-Type"))
        if kind != MULTIPART:
            if int(self.headers.get("Content-Length", INLINE_BYTES + 1)) <= INLINE_BYTES:
                # The answer then names only the fields that are missing.
                return await super()._get_form(max_files=max_files, max_fields=max_fields, max_part_size=max_part_size)
            self._form = FormData()
            return self._form
        max_files, max_fields = min(max_files, MAX_PARTS), min(max_fields, MAX_PARTS)
        async with aclosing(self._with_opening(options.get(b"boundary", b""))) as stream:
            parser = _FormParser(
                self.headers, stream, max_files=max_files, max_fields=max_fields + 1, max_part_size=max_part_size
            )
            try:
                form = await parser.parse()
            except MultiPartException as error:
                raise HTTPException(400, error.message) from error
        self._form = FormData(form.multi_items()[1:])  # without the preamble
        return self._form

    async def _with_opening(self, boundary: bytes) -> AsyncGenerator[bytes]:
        """Yield the body after the head of a field, so that the parser reads the preamble as that field's value."""
        yield b"--" + boundary + b'\r\nContent-Disposition: form-data; name=""\r\n\r\n\r\n'
        async for chunk in self.stream():
            yield chunk
