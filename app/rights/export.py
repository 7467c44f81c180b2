"""Export (GDPR Art. 20): the access document, every photo and every template's numbers, in one ZIP. Streamed."""

import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from app.kit.datamap import Form
from app.rights import access, holdings, reading

Entry = tuple[str, Iterator[bytes]]


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
    """Write the ZIP, piece by piece; no transaction is open between two pieces."""
    out = _Outflow()
    stamp = asked.now.timetuple()[:6]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:  # type: ignore[call-overload]
        for name, pieces in _entries(asked):
            with zipped.open(zipfile.ZipInfo(name, stamp), "w", force_zip64=True) as entry:
                for piece in pieces:
                    entry.write(piece)
                    yield out.taken()
    yield out.taken()


def _entries(asked: access.Asked) -> Iterator[Entry]:
    yield "mien.json", (piece.encode() for piece in access.document(asked))
    yield "index.html", (piece.encode() for piece in reading.page(asked))
    for table in holdings.tables():
        for row in holdings.rows(asked.vault, subject_id=asked.subject_id, table=table):
            for value in row.values():
                if isinstance(value, holdings.File):
                    yield access.path_of(table.name, str(row["id"]), value.form), iter([_content(row, value)])


def _content(row: Mapping[str, holdings.Value], file: holdings.File) -> bytes:
    if file.form is not Form.VECTOR:
        return file.content
    vector = struct.unpack(f"<{len(file.content) // 8}d", file.content)
    template: dict[str, Any] = {
        "template_id": row["id"],
        "engine": row["engine_id"],
        "weights_sha256": row["weights_sha256"],
        "warning": access.WARNING,
        "vector": vector,
    }
    return json.dumps(template, indent=1).encode()
