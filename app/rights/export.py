"""Export (GDPR Art. 20): the access document, every photo and every template's numbers, in one ZIP. Streamed."""

import json
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime

from app.rights import access, access_schema, export_page, personal_data

Entry = tuple[str, Iterable[bytes]]


class _Outflow:
    """A file that only goes forward: what was written is taken away with `taken`."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        """Keep *piece* until it is taken."""
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: there is nothing behind this."""

    def taken(self) -> bytes:
        """Return all that was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def archive(asked: access.Asked) -> Iterator[bytes]:
    """Write the ZIP, piece by piece; no transaction is open between two pieces.

    Raises:
        UnauthenticatedError: the person was erased; before the first piece, or between two.
    """
    return access.gathered(_zipped(_entries(asked, access.head(asked)), asked.now))


def _zipped(entries: Iterable[Entry], now: datetime) -> Iterator[bytes]:
    out = _Outflow()
    with zipfile.ZipFile(out, "w") as zipped:  # type: ignore[call-overload]
        for name, pieces in entries:
            described = zipfile.ZipInfo(name, now.timetuple()[:6])
            # Photos too: in a stream a size follows its bytes, and many readers take that of deflated ones only.
            described.compress_type = zipfile.ZIP_DEFLATED
            with zipped.open(described, "w") as entry:
                for piece in pieces:
                    entry.write(piece)
                    yield out.taken()
    yield out.taken()


def _entries(asked: access.Asked, head: dict[str, object]) -> Iterator[Entry]:
    yield "index.html", export_page.page(asked, head)
    yield "mien.json", access.written(asked, head)
    yield "mien.schema.json", [json.dumps(access_schema.schema(), indent=1).encode()]
    for table in filter(personal_data.has_files, personal_data.tables()):
        for row in personal_data.rows(asked.vault, subject_id=asked.subject_id, table=table, prove=asked.prove):
            for value in row.values():
                if isinstance(value, personal_data.File):
                    yield value.path, [value.content]
