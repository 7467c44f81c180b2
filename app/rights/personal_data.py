"""Everything held about one subject, found through the data map; there is no other list of tables or columns (law 5).

* A table with personal data has a `subject_id` column, or is `subjects`. The register holds digests only.
* Rows are read a page at a time, each page in a short transaction, so that a slow reader blocks no writer.
* Each page checks that the subject still exists. After an erasure reading raises, so that a partial answer breaks off
  and does not look complete.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Column, MetaData, RowMapping, Select, Table, UniqueConstraint, bindparam, func, select, tuple_

from app.db.data_map import Kind, Seal, SealedFormat, SealedUnder
from app.db.types import Row
from app.faces import vectors
from app.rights.explanations import TEMPLATE_WARNING
from app.subjects import service as subjects
from app.templates import status as template_status
from app.templates.tables import EngineRow
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import Key
from app.vault.sealing_context import sealing_context
from app.vault.tables import RegisterRow
from app.vault.vault import Vault

PAGE = 100
"""Rows read at once; one row for a table with large files, since a photo can have megabytes."""
LARGE_FORMS = {SealedFormat.VECTOR, SealedFormat.JPEG}
FILE_FORMS = {*LARGE_FORMS, SealedFormat.RECEIPT}
"""Forms that the export writes as files."""
STORES = (Row.metadata, RegisterRow.metadata)
AddProof = Callable[[Sequence[bytes]], list[bytes]]
"""Adds to each receipt of a page the proof that it is in the transparency log."""


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A value that the export writes as a file."""

    path: str
    form: SealedFormat
    content: bytes
    label: Mapping[str, str] = field(default_factory=dict)
    """Columns of the row that are also sealed with the file; the sealed values replace the row's own."""

    def described(self) -> dict[str, Any]:
        """Return the path, size and SHA-256, which replace the content in the document."""
        digest = hashlib.sha256(self.content).hexdigest()
        return {"file": self.path, "bytes": len(self.content), "sha256": digest}


_Keys = dict[tuple[Owner, int], Key]
Value = str | int | bool | float | None | dict[str, Any] | ExportFile


class UnmappedError(LookupError):
    """A column is not classified, or a table with personal data has no column for its subject."""


def classification(column: Column[Any]) -> Kind:
    """Return the kind of data in a column.

    Raises:
        UnmappedError: the column is not classified.
    """
    kind = column.info.get("kind")
    if not isinstance(kind, Kind):
        raise UnmappedError(str(column))
    return kind


def owner_of(table: Table) -> Column[Any]:
    """Return the column with the subject of a row.

    Raises:
        UnmappedError: there is none.
    """
    if table.name == "subjects":
        return table.c.id
    if "subject_id" not in table.c:
        raise UnmappedError(table.name)
    return table.c.subject_id


def tables(stores: Sequence[MetaData] = STORES) -> list[Table]:
    """Return every table with personal data.

    Raises:
        UnmappedError: a column is not classified, or a table has no column for its subject.
    """
    kinds = {
        table: {classification(column) for column in table.columns} for store in stores for table in store.sorted_tables
    }
    personal = [table for table, found in kinds.items() if found & {Kind.PERSONAL, Kind.BIOMETRIC}]
    for table in personal:
        owner_of(table)
    return personal


def exported_columns(table: Table) -> list[Column[Any]]:
    """Return the columns that the subject is given: all except credentials, which would let others in."""
    return [column for column in table.columns if classification(column) is not Kind.CREDENTIAL]


def sealed_form(column: Column[Any]) -> SealedFormat | None:
    """Return the form of a sealed column's content; None if the column is not sealed."""
    seal: Seal | None = column.info.get("seal")
    return None if seal is None else seal.form


def has_files(table: Table) -> bool:
    """Return whether the rows of a table come with files."""
    return any(sealed_form(column) in FILE_FORMS for column in table.columns)


def opened_name(column: Column[Any]) -> str:
    """Return the name of an opened column: `sealed_name` becomes `name`, a bare `sealed` becomes `content`."""
    if sealed_form(column) is None:
        return column.name
    return column.name.removeprefix("sealed").removeprefix("_") or "content"


def _order(table: Table) -> list[Column[Any]]:
    uniques = [set(c.columns.keys()) for c in table.constraints if isinstance(c, UniqueConstraint)]
    return [table.c.position] if {"subject_id", "position"} in uniques else list(table.primary_key.columns)


# The statements are built once: requests for access can be frequent.
@cache
def _count(table: Table) -> Select[Any]:
    return select(func.count().label("rows")).select_from(table).where(owner_of(table) == bindparam("subject_id"))


@cache
def _page(table: Table, *, first: bool) -> Select[Any]:
    order = _order(table)
    after = tuple_(*(bindparam(f"after_{column.name}", type_=column.type) for column in order))
    page = select(table).where(owner_of(table) == bindparam("subject_id")).order_by(*order).limit(_page_size(table))
    return page if first else page.where(tuple_(*order) > after)


def _page_size(table: Table) -> int:
    return 1 if any(sealed_form(column) in LARGE_FORMS for column in table.columns) else PAGE


def count_rows(vault: Vault, *, subject_id: UUID, table: Table) -> int:
    """Count the subject's rows of one table."""
    (counted,) = _execute(vault, _count(table), subject_id)
    return int(counted["rows"])


def read_rows(
    vault: Vault, *, subject_id: UUID, table: Table, add_proof: AddProof | None = None
) -> Iterator[dict[str, Value]]:
    """Read and open the subject's rows of one table, ordered by `position` or by primary key.

    Args:
        vault: the stores.
        subject_id: the subject.
        table: the table.
        add_proof: changes receipts; None leaves them as issued.

    Raises:
        UnauthenticatedError: the subject was erased meanwhile.
    """
    statement = _page(table, first=True)
    after: dict[str, Any] = {}
    while True:
        page = _execute(vault, statement, subject_id, **after)
        rows = _open_page(vault, table, page, subject_id)
        yield from rows if add_proof is None else _prove(list(rows), add_proof)
        if len(page) < _page_size(table):
            return
        statement = _page(table, first=False)
        after = {f"after_{column.name}": page[-1][column.name] for column in _order(table)}


def _prove(rows: Sequence[dict[str, Value]], add_proof: AddProof) -> Iterator[dict[str, Value]]:
    """Yield the rows, with proofs of all receipts in them."""
    files = [value for row in rows for value in row.values() if isinstance(value, ExportFile)]
    receipts = [file for file in files if file.form is SealedFormat.RECEIPT]
    contents = add_proof([file.content for file in receipts]) if receipts else []
    proven = {file.path: replace(file, content=content) for file, content in zip(receipts, contents, strict=True)}
    for row in rows:
        yield {
            name: proven.get(value.path, value) if isinstance(value, ExportFile) else value
            for name, value in row.items()
        }


def _execute(vault: Vault, statement: Select[Any], subject_id: UUID, **after: object) -> Sequence[RowMapping]:
    with vault.data.read() as session:
        subjects.get(session, subject_id)
        return session.execute(statement, {"subject_id": subject_id, **after}).mappings().all()


def _open_page(vault: Vault, table: Table, page: Sequence[RowMapping], subject_id: UUID) -> Iterator[dict[str, Value]]:
    """Open the rows of one page, reading each key once; leave out a row whose consent ended meanwhile."""
    keys: _Keys = {}
    columns = [(opened_name(column), column) for column in exported_columns(table)] if page else []
    for row in page:
        try:
            opened = {name: _value(vault, column, row, keys) for name, column in columns}
        except KeyGoneError:
            with vault.data.read() as session:
                subjects.get(session, subject_id)
            continue
        for file in [value for value in opened.values() if isinstance(value, ExportFile)]:
            opened |= file.label
        yield opened


def _value(vault: Vault, column: Column[Any], row: RowMapping, keys: _Keys) -> Value:
    seal: Seal | None = column.info.get("seal")
    sealed = row[column.name]
    if seal is None or sealed is None:
        return _to_json(sealed)
    owner = _sealing_key(seal, column.table, row)
    if owner not in keys:
        keys[owner] = vault.register.key(*owner)
    content = keys[owner].open(sealed, sealing_context(column, row["id"]))
    match seal.form:
        case SealedFormat.TEXT:
            return content.decode()
        case SealedFormat.JSON:
            record: dict[str, Any] = json.loads(content)
            return record
        case SealedFormat.JPEG:
            return ExportFile(f"{column.table.name}/{row['id']}.jpg", seal.form, content)
        case SealedFormat.RECEIPT:
            return ExportFile(f"receipts/{row['id']}.json", seal.form, content)
        case SealedFormat.VECTOR:
            return _template_file(vault, f"{column.table.name}/{row['id']}.json", row, content)


def _sealing_key(seal: Seal, table: Table, row: RowMapping) -> tuple[Owner, int]:
    if seal.under is SealedUnder.GRANT:
        return Owner.grant(row["grant_id"]), row["key_generation"]
    return Owner.subject(row[owner_of(table).name]), 1


def _template_file(vault: Vault, path: str, row: RowMapping, content: bytes) -> ExportFile:
    """Return a template as a file, with the engine label that is sealed in it; the row's label may be false."""
    opened = vectors.unpack(content)
    with vault.data.read() as session:
        engine = session.get(EngineRow, opened.weights_sha256)
    row_label = template_status.TemplateEngine(engine=row["engine_id"], weights_sha256=row["weights_sha256"])
    label, false_label = template_status.read_labels(engine, opened.weights_sha256, row_label)
    template = {
        "template_id": str(row["id"]),
        **asdict(label),
        "labelled_falsely_as": None if false_label is None else asdict(false_label),
        "warning": TEMPLATE_WARNING,
        "form": opened.form,
        "scale": opened.scale,
        "vector": opened.vector,
    }
    return ExportFile(
        path,
        SealedFormat.VECTOR,
        json.dumps(template, indent=1).encode(),
        {"engine_id": label.engine, "weights_sha256": label.weights_sha256},
    )


def _to_json(value: object) -> Value:
    match value:
        case UUID() | StrEnum():
            return str(value)
        case datetime() | date():
            return value.isoformat()
        case None | bool() | int() | float() | str():
            return value
    raise UnmappedError(type(value).__name__)
