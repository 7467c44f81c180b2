"""The parts of a request on a connection: its head, and the pieces of its body.

The parser of `httptools` takes all bytes that it gets, also those of later requests, and cannot be stopped. So it gets
the bytes of one part at a time, and each part has a limit. Where the parser disagrees about an end, the request is
refused.
"""

import re
from enum import Enum, auto

from app.kit.errors import Problem
from app.web.problems import MalformedRequestError, TooLargeError

MAX_HEADER_BYTES = 64 * 1024
"""Bytes of the head of a request."""
MAX_FRAMING_BYTES = 64 * 1024
"""Bytes around the chunks of a body, and one more for each 16 bytes of the body: tiny chunks cost much time."""
_BODY_BYTES_FOR_ONE = 16
MAX_CHUNK_LINE_BYTES = 1024
"""Bytes of the line before a chunk: its size and its extensions."""
_END_OF_HEAD = b"\r\n\r\n"
_END_OF_LINE = b"\r\n"
CARRIAGE_RETURN = 13
_EMPTY_LINES = re.compile(rb"[\r\n]*")
_HEAD_REASON = f"The head of the request is larger than {MAX_HEADER_BYTES // 1024} KiB"
_CHUNK_REASON = "The lines between the chunks are too large: send larger chunks, without extensions"
_TRAILER_REASON = "The body has trailers: send none after the last chunk"


class FramingError(Exception):
    """The request exceeds a limit of its framing.

    Args:
        problem: the answer to it.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.slug)
        self.problem = problem


class _Part(Enum):
    HEAD = auto()
    BODY = auto()
    CHUNK_LINE = auto()
    CHUNK = auto()
    END_OF_CHUNKS = auto()
    NONE = auto()


class MessageFraming:
    """Cuts the bytes of one request after another into parts.

    Args:
        max_bytes: bytes of one body.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.expect_head()

    def expect_head(self) -> None:
        """Begin a new request."""
        self._part, self._line = _Part.HEAD, b""
        self._framing = self._body = self._left = 0
        self.head_complete = False

    def expect_body(self, length: int | None) -> None:
        """Begin the body after the head; *length* is None for chunks."""
        self._framing = 0
        if length is None:
            self._part, self._line = _Part.CHUNK_LINE, b""
        else:
            self._part, self._left = (_Part.BODY if length else _Part.NONE), length

    @property
    def complete(self) -> bool:
        """Whether the request has ended: the next byte belongs to another."""
        return self._part is _Part.NONE

    @property
    def in_body(self) -> bool:
        """Whether the body, or a part of it, is still to come."""
        return self._part is not _Part.HEAD and self._part is not _Part.NONE

    @property
    def begun(self) -> bool:
        """Whether bytes of the request have arrived."""
        return self._part is not _Part.HEAD or self._framing > 0

    def skip_empty_lines(self, data: bytes, at: int) -> int:
        """Return the beginning of the request; empty lines before it are ignored (RFC 9112, 2.2)."""
        if self.begun or data[at] > CARRIAGE_RETURN:
            return at
        found = _EMPTY_LINES.match(data, at)
        return found.end() if found is not None else at

    def end_of_part(self, data: bytes, at: int) -> int:
        """Return the end of the bytes, from *at*, that belong to the present part.

        Raises:
            FramingError: the part, or the whole body, is too large, or the body has trailers.
        """
        if self._part is _Part.HEAD:
            end = self._end_of_head(data, at)
        elif self._part is _Part.CHUNK_LINE:
            end = self._end_of_chunk_line(data, at)
        else:
            end = self._end_of_piece(data, at)
        if self._body > self._max_bytes:
            raise FramingError(TooLargeError())
        return end

    def end_part(self) -> None:
        """Go on to the next part if the parser has taken the whole present one.

        Raises:
            FramingError: the parser found no end of the head.
        """
        if self._part is _Part.HEAD and self.head_complete:
            raise FramingError(MalformedRequestError())
        if self._part is _Part.CHUNK_LINE and self._line.endswith(_END_OF_LINE):
            # The parser has checked the line: it begins with hexadecimal digits.
            size = int(self._line.partition(b";")[0], 16)
            self._part, self._line = (_Part.CHUNK, b"") if size else (_Part.END_OF_CHUNKS, b"")
            self._left = size + len(_END_OF_LINE)
            if size:
                # The end of the chunk's line is framing too.
                self._framing += len(_END_OF_LINE)
                self._body -= len(_END_OF_LINE)
        elif self._left == 0:
            if self._part is _Part.CHUNK:
                self._part = _Part.CHUNK_LINE
            elif self._part is _Part.BODY or self._part is _Part.END_OF_CHUNKS:
                self._part = _Part.NONE

    def _end_of_head(self, data: bytes, at: int) -> int:
        kept = self._line
        # The end may have begun in bytes that came before.
        found = (kept + data[at : at + len(_END_OF_HEAD)]).find(_END_OF_HEAD) if kept else -1
        end = at + found + len(_END_OF_HEAD) - len(kept) if found >= 0 else -1
        if end < 0:
            found = data.find(_END_OF_HEAD, at)
            end = found + len(_END_OF_HEAD) if found >= 0 else -1
        self.head_complete = end >= 0
        if not self.head_complete:
            end = len(data)
            self._line = (kept + data[max(at, end - 3) : end])[-3:]
        self._framing += end - at
        if self._framing > MAX_HEADER_BYTES:
            raise FramingError(MalformedRequestError(_HEAD_REASON))
        return end

    def _end_of_chunk_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1 or len(data)
        if len(self._line) + end - at > MAX_CHUNK_LINE_BYTES:
            raise FramingError(MalformedRequestError(_CHUNK_REASON))
        self._line += data[at:end]
        self._count_framing(end - at)
        return end

    def _end_of_piece(self, data: bytes, at: int) -> int:
        end = min(len(data), at + self._left)
        self._left -= end - at
        if self._part is _Part.END_OF_CHUNKS:
            if data[at : at + 1] not in _END_OF_LINE:
                raise FramingError(MalformedRequestError(_TRAILER_REASON))
            self._count_framing(end - at)
        else:
            self._body += end - at
        return end

    def _count_framing(self, count: int) -> None:
        self._framing += count
        if self._framing > MAX_FRAMING_BYTES + self._body // _BODY_BYTES_FOR_ONE:
            raise FramingError(MalformedRequestError(_CHUNK_REASON))
