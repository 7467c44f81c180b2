"""The JSON Schema of the access document, derived from the data map as the document is."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Column

from app.db.data_map import Form
from app.faces.permit import Purpose
from app.rights import access, personal_data

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_ID: Schema = {"type": "string", "format": "uuid"}
_INSTANT: Schema = {"type": "string", "format": "date-time"}
_DAY: Schema = {"type": "string", "format": "date"}
_DIGEST: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_NUMBER: Schema = {"type": "number"}
_PLAIN: dict[type, Schema] = {
    UUID: _ID,
    datetime: _INSTANT,
    date: _DAY,
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: _NUMBER,
    str: _TEXT,
}


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(**properties: Schema) -> Schema:
    return {"type": "array", "items": _object(**properties)}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_FILE = _object(
    file={"type": "string", "description": "where the export has it"},
    bytes={"type": "integer", "minimum": 1},
    sha256=_DIGEST,
)
_RECEIPT = _object(jws=_TEXT, leaf=_DIGEST, salt=_TEXT, promise=_TEXT)
_FORMS: dict[Form, Schema] = {
    Form.TEXT: _TEXT,
    Form.JSON: {"type": "object"},
    Form.VECTOR: _FILE,
    Form.JPEG: _FILE,
    Form.RECEIPT: _FILE,
}


def schema() -> Schema:
    """Return the schema, as draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": access.SCHEMA,
        "title": "Everything that Mien holds about one person",
        **_object(
            **{"$schema": _TEXT},
            made_at=_INSTANT,
            receipt=_or_null(_RECEIPT),
            subject_id=_ID,
            controller=_TEXT,
            profile={"enum": ["prototype", "live"]},
            source=_TEXT,
            restricted={"type": "boolean"},
            purposes=_purposes(),
            recipients=_recipients(),
            proofs=_proofs(),
            templates=_templates(),
            retention=_list(
                rule=_TEXT,
                what=_TEXT,
                why=_TEXT,
                how_long=_TEXT,
                days=_or_null({"type": "integer", "minimum": 0}),
                by=_TEXT,
            ),
            logic=_object(engine=_TEXT, weights_sha256=_DIGEST, target_fmr=_NUMBER, threshold=_NUMBER, in_words=_TEXT),
            rights=_list(right=_TEXT, law=_TEXT, how=_TEXT, what=_TEXT),
            warning=_TEXT,
            data=_object(**{table.name: _rows(personal_data.shown(table)) for table in personal_data.tables()}),
        ),
    }


def _purposes() -> Schema:
    return _list(
        consent_id=_ID,
        purpose=_enum(Purpose),
        in_words=_TEXT,
        relying_party=_or_null(_TEXT),
        until=_INSTANT,
        legal_basis=_TEXT,
        notice={"type": "string", "description": "where the text is that was read"},
    )


def _recipients() -> Schema:
    return _list(
        relying_party_id=_ID,
        name=_TEXT,
        contact=_TEXT,
        learns=_TEXT,
        alternative=_TEXT,
        context=_or_null(_TEXT),
        legal_basis=_or_null(_TEXT),
    )


def _proofs() -> Schema:
    return _list(
        consent_id=_ID,
        purpose=_enum(Purpose),
        relying_party_id=_or_null(_ID),
        notice=_TEXT,
        given_on=_DAY,
        ended_on=_or_null(_DAY),
        kept_until=_or_null(_DAY),
    )


def _templates() -> Schema:
    label = {"engine": _TEXT, "weights_sha256": _DIGEST}
    return _list(
        template_id=_ID,
        consent_id=_ID,
        enrolment_id=_ID,
        **label,
        labelled_falsely_as=_or_null(_object(**label)),
        engine_in_force={"type": "boolean"},
        ends_on=_or_null(_DAY),
        to_do=_or_null(_TEXT),
    )


def _rows(columns: Sequence[Column[Any]]) -> Schema:
    return _list(**{personal_data.opened_name(column): _column(column) for column in columns})


def _column(column: Column[Any]) -> Schema:
    form = personal_data.form_of(column)
    found = _FORMS[form] if form else _plain(column.type.python_type)
    return _or_null(found) if column.nullable else found


def _plain(python: type) -> Schema:
    return _enum(python) if issubclass(python, StrEnum) else _PLAIN[python]


def _enum(python: type[StrEnum]) -> Schema:
    return {"enum": [member.value for member in python]}
