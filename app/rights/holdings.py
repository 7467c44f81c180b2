"""Everything held about one person, found by the data map: no list of tables, none of columns (law 5).

A table belongs to a person by its `subject_id`, or is `subjects` itself. Rows are read a page at a time, each page in a
short read transaction of its own, so that a slow reader holds nothing up and memory stays bounded.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Table, UniqueConstraint, select

from app.kit.datamap import Form, Kind, Seal, SealedUnder
from app.kit.db import Row
from app.vault.place import place
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import Key
from app.vault.vault import Vault

PAGE = 20
"""Rows read at once; with kept photos of half a megabyte, some ten megabytes."""


@dataclass(frozen=True, slots=True)
class File:
    """A sealed column that is no text: opened, and better given as a file."""

    form: Form
    content: bytes


Value = str | int | bool | float | None | dict[str, Any] | File


class UnmappedError(LookupError):
    """A table or column holds something about a person, and does not say how it is reached. Fails the build."""


def kind_of(column: Column[Any]) -> Kind:
    """Return how a column is classified.

    Raises:
        UnmappedError: it is not.
    """
    kind = column.info.get("kind")
    if not isinstance(kind, Kind):
        raise UnmappedError(str(column))
    return kind


def tables() -> Sequence[Table]:
    """Return every table with something about a person.

    Raises:
        UnmappedError: a column is not classified, or a table does not say whose its rows are.
    """
    found = []
    for table in Row.metadata.sorted_tables:
        kinds = {kind_of(column) for column in table.columns}
        if kinds & {Kind.PERSONAL, Kind.BIOMETRIC}:
            if table.name != "subjects" and "subject_id" not in table.columns:
                raise UnmappedError(table.name)
            found.append(table)
    return found


def shown(table: Table) -> Sequence[Column[Any]]:
    """Return the columns that their person is given: all but credentials, which would let somebody in."""
    return [column for column in table.columns if kind_of(column) is not Kind.CREDENTIAL]


def name_of(column: Column[Any]) -> str:
    """Return what a column is called when it is opened: `sealed_name` is `name`, a bare `sealed` is `content`."""
    if "seal" not in column.info:
        return column.name
    return column.name.removeprefix("sealed").removeprefix("_") or "content"


def rows(vault: Vault, *, subject_id: UUID, table: Table) -> Iterator[dict[str, Value]]:
    """Read a person's rows of one table, opened; in the order of their own count where there is one."""
    owner = table.c.id if table.name == "subjects" else table.c.subject_id
    order = _order(table)
    query = select(table).where(owner == subject_id).order_by(order).limit(PAGE)
    after: object = None
    while True:
        with vault.data.read() as session:
            page = session.execute(query if after is None else query.where(order > after)).mappings().all()
        for row in page:
            opened = _opened(vault, table, dict(row), subject_id)
            if opened is not None:
                yield opened
        if len(page) < PAGE:
            return
        after = page[-1][order.name]


def _order(table: Table) -> Column[Any]:
    counted = ["subject_id", "position"]
    uniques = (c for c in table.constraints if isinstance(c, UniqueConstraint))
    return table.c.position if any([col.name for col in u.columns] == counted for u in uniques) else table.c.id


def _opened(vault: Vault, table: Table, row: Mapping[str, Any], subject_id: UUID) -> dict[str, Value] | None:
    """Open a row; None if its key was destroyed since it was read."""
    found: dict[str, Value] = {}
    for column in shown(table):
        seal: Seal | None = column.info.get("seal")
        value = row[column.name]
        if seal is None or value is None:
            found[name_of(column)] = _plain(value)
            continue
        try:
            key = _key(vault, seal, row, subject_id)
        except KeyGoneError:
            return None
        found[name_of(column)] = _form(seal.form, key.open(value, place(column, row["id"])))
    return found


def _key(vault: Vault, seal: Seal, row: Mapping[str, Any], subject_id: UUID) -> Key:
    if seal.under is SealedUnder.GRANT:
        return vault.register.key(Owner.grant(row["grant_id"]), row["key_generation"])
    return vault.register.key(Owner.subject(subject_id))


def _form(form: Form, plain: bytes) -> Value:
    match form:
        case Form.TEXT:
            return plain.decode()
        case Form.JSON:
            record: dict[str, Any] = json.loads(plain)
            return record
        case Form.VECTOR | Form.JPEG:
            return File(form, plain)


def _plain(value: object) -> Value:
    match value:
        case UUID() | StrEnum():
            return str(value)
        case datetime() | date():
            return value.isoformat()
        case None | bool() | int() | float() | str():
            return value
    raise UnmappedError(type(value).__name__)
