"""Export (GDPR Art. 20): the access document, all photos, templates and receipts, and a page, in one ZIP. Streamed."""

import json
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime

from app.rights import access, access_schema, export_page, personal_data

ZipEntry = tuple[str, Iterable[bytes]]
"""Path and content."""


class _StreamBuffer:
    """An unseekable file for `zipfile`; `take` returns and removes the bytes written so far."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        """Append *piece*."""
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing; `zipfile` calls this."""

    def take(self) -> bytes:
        """Return and remove the bytes written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def archive(request: access.AccessRequest) -> Iterator[bytes]:
    """Yield the ZIP in pieces; no transaction is open between two pieces.

    Raises:
        UnauthenticatedError: the subject was erased; before the first piece, or between two.
    """
    return _zip(_entries(request, access.head(request)), request.now)


def _zip(entries: Iterable[ZipEntry], now: datetime) -> Iterator[bytes]:
    out = _StreamBuffer()
    with zipfile.ZipFile(out, "w") as zipped:  # type: ignore[call-overload]
        for path, pieces in entries:
            info = zipfile.ZipInfo(path, now.timetuple()[:6])
            # In a stream the size follows the content, and many readers accept that only for deflated entries.
            info.compress_type = zipfile.ZIP_DEFLATED
            with zipped.open(info, "w") as entry:
                for piece in pieces:
                    entry.write(piece)
                    yield out.take()
    yield out.take()


def _entries(request: access.AccessRequest, head: access_schema.AccessHead) -> Iterator[ZipEntry]:
    yield "index.html", export_page.page(request, head)
    yield "mien.json", access.document_pieces(request, head)
    yield "mien.schema.json", [json.dumps(access_schema.schema(), indent=1).encode()]
    for table in filter(personal_data.has_files, personal_data.tables()):
        for row in personal_data.read_rows(
            request.vault, subject_id=request.subject_id, table=table, add_proof=request.add_proof
        ):
            for value in row.values():
                if isinstance(value, personal_data.ExportFile):
                    yield value.path, [value.content]
