"""Everything held about one person, found by the data map: no list of tables, none of columns (law 5).

* A table belongs to a person by its `subject_id`, or is `subjects` itself. The register knows nobody: digests only.
* Rows are read a page at a time, each page in a short transaction of its own: a slow reader holds nothing up.
* Each page asks again whether the person is still there. Once they are erased reading raises, so that what was
  written so far breaks off instead of looking whole.
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

from sqlalchemy import Column, MetaData, Table, UniqueConstraint, bindparam, func, select, tuple_

from app.db.data_map import Form, Kind, Seal, SealedUnder
from app.db.sqlite.prepared import Prepared, Values
from app.db.types import Row
from app.faces import vectors
from app.subjects import service as subjects
from app.templates import status as standing
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import Key
from app.vault.sealing_context import place
from app.vault.tables import RegisterRow
from app.vault.vault import Vault

PAGE = 100
"""Rows read at once; of a table with files one, since a photo may have megabytes."""
FILES = {Form.VECTOR, Form.JPEG, Form.RECEIPT}
"""What is given as a file of its own."""
STORES = (Row.metadata, RegisterRow.metadata)
WARNING = (
    "A template's vector can be turned back into a likeness of your face. Keep the files in templates/ as carefully as "
    "a photo of yourself that you would not show."
)


@dataclass(frozen=True, slots=True)
class File:
    """What is given as a file of its own, and where the export has it."""

    path: str
    form: Form
    content: bytes
    label: Mapping[str, str] = field(default_factory=dict)
    """What is sealed with it of the columns beside it: that holds, whatever they say."""

    def described(self) -> dict[str, Any]:
        """Return what stands in its place in a document: path, size and SHA-256."""
        digest = hashlib.sha256(self.content).hexdigest()
        return {"file": self.path, "bytes": len(self.content), "sha256": digest}


_Row = Mapping[str, Any]
Value = str | int | bool | float | None | dict[str, Any] | File


class UnmappedError(LookupError):
    """A table or column holds something about a person, and does not say how it is reached. Fails the build."""


def classification(column: Column[Any]) -> Kind:
    """Return how a column is classified.

    Raises:
        UnmappedError: it is not.
    """
    kind = column.info.get("kind")
    if not isinstance(kind, Kind):
        raise UnmappedError(str(column))
    return kind


def owner_of(table: Table) -> Column[Any]:
    """Return the column that says whose a row is.

    Raises:
        UnmappedError: there is none.
    """
    if table.name == "subjects":
        return table.c.id
    if "subject_id" not in table.c:
        raise UnmappedError(table.name)
    return table.c.subject_id


def tables(stores: Sequence[MetaData] = STORES) -> list[Table]:
    """Return every table with something about a person.

    Raises:
        UnmappedError: a column is not classified, or a table does not say whose its rows are.
    """
    every = [table for store in stores for table in store.sorted_tables]
    kinds = {table: {classification(column) for column in table.columns} for table in every}
    found = [table for table in every if kinds[table] & {Kind.PERSONAL, Kind.BIOMETRIC}]
    for table in found:
        owner_of(table)
    return found


def shown(table: Table) -> list[Column[Any]]:
    """Return the columns that their person is given: all but credentials, which would let somebody in."""
    return [column for column in table.columns if classification(column) is not Kind.CREDENTIAL]


def form_of(column: Column[Any]) -> Form | None:
    """Return what a column is when it is opened; None if it is not sealed."""
    seal: Seal | None = column.info.get("seal")
    return None if seal is None else seal.form


def has_files(table: Table) -> bool:
    """Say whether the rows of a table come with files."""
    return any(form_of(column) in FILES for column in table.columns)


def opened_name(column: Column[Any]) -> str:
    """Return what a column is called when it is opened: `sealed_name` is `name`, a bare `sealed` is `content`."""
    if form_of(column) is None:
        return column.name
    return column.name.removeprefix("sealed").removeprefix("_") or "content"


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a person's rows of one table are read: made once, for asking often costs nothing."""

    names: tuple[str, ...]
    order: tuple[str, ...]
    size: int
    counted: Prepared
    first: Prepared
    further: Prepared


@cache
def _reading(table: Table) -> _Reading:
    size, order = 1 if has_files(table) else PAGE, _order(table)
    mine = owner_of(table) == bindparam("subject_id")
    page = select(table).where(mine).order_by(*order).limit(size)
    after = tuple_(*(bindparam(f"after_{column.name}", type_=column.type) for column in order))
    return _Reading(
        names=tuple(column.name for column in table.columns),
        order=tuple(column.name for column in order),
        size=size,
        counted=Prepared(select(func.count()).select_from(table).where(mine)),
        first=Prepared(page),
        further=Prepared(page.where(tuple_(*order) > after)),
    )


def count(vault: Vault, *, subject_id: UUID, table: Table) -> int:
    """Count a person's rows of one table."""
    ((counted,),) = _read(vault, _reading(table).counted, subject_id)
    rows: int = counted
    return rows


def as_issued(receipt: bytes) -> bytes:
    """Leave a receipt as it is."""
    return receipt


def rows(
    vault: Vault, *, subject_id: UUID, table: Table, prove: Callable[[bytes], bytes] = as_issued
) -> Iterator[dict[str, Value]]:
    """Read a person's rows of one table, opened; in the order of their own count where there is one.

    Args:
        vault: the stores.
        subject_id: whose.
        table: which.
        prove: adds to a receipt the proof that it is in the log.

    Raises:
        UnauthenticatedError: the person was erased meanwhile.
    """
    how = _reading(table)
    found = _read(vault, how.first, subject_id)
    while True:
        page = [dict(zip(how.names, row, strict=True)) for row in found]
        for row in _opened(vault, table, page, subject_id):
            yield {name: _proven(value, prove) for name, value in row.items()}
        if len(page) < how.size:
            return
        after = {f"after_{name}": page[-1][name] for name in how.order}
        found = _read(vault, how.further, subject_id, **after)


def _proven(value: Value, prove: Callable[[bytes], bytes]) -> Value:
    if isinstance(value, File) and value.form is Form.RECEIPT:
        return replace(value, content=prove(value.content))
    return value


def _read(vault: Vault, statement: Prepared, subject_id: UUID, **after: object) -> list[Values]:
    with vault.data.reading() as reading:
        subjects.check_exists(reading, subject_id)
        return reading.all(statement, subject_id=subject_id, **after)


def _still_here(vault: Vault, subject_id: UUID) -> None:
    with vault.data.reading() as reading:
        subjects.check_exists(reading, subject_id)


def _order(table: Table) -> list[Column[Any]]:
    counted = {"subject_id", "position"}
    uniques = [set(c.columns.keys()) for c in table.constraints if isinstance(c, UniqueConstraint)]
    return [table.c.position] if counted in uniques else list(table.primary_key.columns)


def _opened(vault: Vault, table: Table, page: Sequence[_Row], subject_id: UUID) -> Iterator[dict[str, Value]]:
    """Open the rows of one page, fetching each key once; a row whose consent ended since it was read is left out."""
    keys: dict[tuple[Owner, int], Key] = {}
    named = [(opened_name(column), column) for column in shown(table)] if page else []
    for row in page:
        try:
            yield _by_label({name: _value(vault, column, row, keys) for name, column in named})
        except KeyGoneError:
            _still_here(vault, subject_id)


def _by_label(row: dict[str, Value]) -> dict[str, Value]:
    """Let what is sealed with a file take the place of what its row says."""
    files = [value for value in row.values() if isinstance(value, File)]
    return row | {name: said for file in files for name, said in file.label.items()}


def _value(vault: Vault, column: Column[Any], row: _Row, keys: dict[tuple[Owner, int], Key]) -> Value:
    seal: Seal | None = column.info.get("seal")
    sealed = row[column.name]
    if seal is None or sealed is None:
        return _plain(sealed)
    owner = _sealed_by(seal, column.table, row)
    if owner not in keys:
        keys[owner] = vault.register.key(*owner)
    plain = keys[owner].open(sealed, place(column, row["id"]))
    match seal.form:
        case Form.TEXT:
            return plain.decode()
        case Form.JSON:
            record: dict[str, Any] = json.loads(plain)
            return record
        case Form.JPEG:
            return File(f"{column.table.name}/{row['id']}.jpg", seal.form, plain)
        case Form.RECEIPT:
            return File(f"receipts/{row['id']}.json", seal.form, plain)
        case Form.VECTOR:
            return _template(vault, f"{column.table.name}/{row['id']}.json", row, plain)


def _sealed_by(seal: Seal, table: Table, row: _Row) -> tuple[Owner, int]:
    if seal.under is SealedUnder.GRANT:
        return Owner.grant(row["grant_id"]), row["key_generation"]
    return Owner.subject(row[owner_of(table).name]), 1


def _template(vault: Vault, path: str, row: _Row, plain: bytes) -> File:
    """Give a template as a file, labelled by what is sealed and never by its row."""
    weights_sha256, vector = vectors.unpacked(plain)
    with vault.data.read() as session:
        label = standing.label_of(session, weights_sha256)
    falsely = standing.falsely(standing.Label(engine=row["engine_id"], weights_sha256=row["weights_sha256"]), label)
    template = {
        "template_id": str(row["id"]),
        **asdict(label),
        "labelled_falsely_as": None if falsely is None else asdict(falsely),
        "warning": WARNING,
        "vector": vector,
    }
    content = json.dumps(template, indent=1).encode()
    return File(path, Form.VECTOR, content, {"engine_id": label.engine, "weights_sha256": label.weights_sha256})


def _plain(value: object) -> Value:
    match value:
        case UUID() | StrEnum():
            return str(value)
        case datetime() | date():
            return value.isoformat()
        case None | bool() | int() | float() | str():
            return value
    raise UnmappedError(type(value).__name__)
