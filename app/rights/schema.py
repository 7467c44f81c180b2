"""The JSON Schema of the access document, derived from the data map as the document is."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Column

from app.kit.datamap import Form
from app.rights import access, holdings

_TYPES: dict[type, dict[str, Any]] = {
    UUID: {"type": "string", "format": "uuid"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    str: {"type": "string"},
}
_FILE = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "description": "where the export has it"},
        "bytes": {"type": "integer", "minimum": 1},
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
    "required": ["file", "bytes", "sha256"],
}
_FORMS: dict[Form, dict[str, Any]] = {
    Form.TEXT: {"type": "string"},
    Form.JSON: {"type": "object"},
    Form.VECTOR: _FILE,
    Form.JPEG: _FILE,
}
_TEXT = {"type": "string"}
_LIST = {"type": "array", "items": {"type": "object"}}


def schema() -> dict[str, Any]:
    """Return the schema, as draft 2020-12."""
    head: dict[str, Any] = {
        "$schema": _TEXT,
        "made_at": {"type": "string", "format": "date-time"},
        "subject_id": {"type": "string", "format": "uuid"},
        "controller": _TEXT,
        "profile": {"enum": ["prototype", "live"]},
        "source": _TEXT,
        "purposes": _LIST,
        "recipients": _LIST,
        "retention": _LIST,
        "logic": {"type": "object"},
        "rights": _LIST,
        "warning": _TEXT,
    }
    rows = {table.name: {"type": "array", "items": _row(holdings.shown(table))} for table in holdings.tables()}
    data = {"type": "object", "properties": rows, "required": sorted(rows), "additionalProperties": False}
    properties = {**head, "data": data}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": access.SCHEMA,
        "title": "Everything that Mien holds about one person",
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _row(columns: Sequence[Column[Any]]) -> dict[str, Any]:
    properties = {holdings.name_of(column): _column(column) for column in columns}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _column(column: Column[Any]) -> dict[str, Any]:
    seal = column.info.get("seal")
    found = dict(_FORMS[seal.form]) if seal else _plain(column.type.python_type)
    return {"anyOf": [found, {"type": "null"}]} if column.nullable else found


def _plain(python: type) -> dict[str, Any]:
    if issubclass(python, StrEnum):
        return {"enum": [member.value for member in python]}
    return dict(_TYPES[python])
