"""The access document as pydantic models, and its JSON Schema. The data map decides the tables and columns in it."""

from datetime import date
from functools import cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, WithJsonSchema, create_model
from sqlalchemy import Column, Table

from app.db.data_map import SealedFormat
from app.faces.permit import Purpose
from app.rights import personal_data
from app.rights.explanations import Right
from app.rights.retention import Rule
from app.web.openapi import ResponseBody

ADDRESS = "/v1/schemas/access"
Instant = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Part(ResponseBody):
    """A part of the document; unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


class ActivePurpose(Part):
    """One consent in force."""

    consent_id: UUID
    purpose: Purpose
    in_words: str
    relying_party: str | None
    until: Instant
    legal_basis: str
    notice: Annotated[str, Field(description="address of the notice that was read")]


class Recipient(Part):
    """One relying party that the subject ever decided about."""

    relying_party_id: UUID
    name: str
    contact: str
    learns: str
    alternative: str
    context: str | None
    legal_basis: str | None


class ProofOfConsent(Part):
    """The proof of one consent, which may stay after erasure."""

    consent_id: UUID
    purpose: Purpose
    relying_party_id: UUID | None
    notice: str
    given_on: date
    ended_on: date | None
    kept_until: date | None


class EngineLabel(Part):
    """The engine that made a template."""

    engine: str
    weights_sha256: str


class TemplateStatus(Part):
    """One template: its engine, its end, and the next step."""

    template_id: UUID
    consent_id: UUID
    enrolment_id: UUID
    engine: str
    weights_sha256: str
    labelled_falsely_as: EngineLabel | None
    engine_in_force: bool
    ends_on: date | None
    to_do: str | None


class Logic(Part):
    """How a decision is made."""

    engine: str
    weights_sha256: str
    target_fmr: float
    threshold: float
    in_words: str


class AccessReceipt(Part):
    """The receipt of this access; its proof can be had later."""

    jws: str
    leaf: Digest
    salt: str
    promise: str


class AccessHead(Part):
    """The document without the data."""

    schema_address: Annotated[str, Field(alias="$schema")] = ADDRESS
    made_at: Instant
    receipt: AccessReceipt | None
    subject_id: UUID
    controller: str
    profile: Literal["prototype", "live"]
    source: str
    restricted: bool
    purposes: list[ActivePurpose]
    recipients: list[Recipient]
    proofs: list[ProofOfConsent]
    templates: list[TemplateStatus]
    retention: list[Rule]
    logic: Logic
    rights: tuple[Right, ...]
    warning: str


class FileDescription(Part):
    """A file that the export has."""

    file: Annotated[str, Field(description="its path in the export")]
    bytes: Annotated[int, Field(ge=1)]
    sha256: Digest


_SEALED_TYPES: dict[SealedFormat, Any] = {
    SealedFormat.TEXT: str,
    SealedFormat.JSON: dict[str, Any],
    SealedFormat.VECTOR: FileDescription,
    SealedFormat.JPEG: FileDescription,
    SealedFormat.RECEIPT: FileDescription,
}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the document, draft 2020-12."""
    return _schema_of(tuple(personal_data.tables()))


@cache
def _schema_of(tables: tuple[Table, ...]) -> dict[str, Any]:
    lists: dict[str, Any] = {table.name: (list[_row_model(table)], ...) for table in tables}  # type: ignore[misc]
    data = create_model("Data", __base__=Part, **lists)
    document = create_model("AccessDocument", __base__=AccessHead, data=(data, ...))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ADDRESS,
        **document.model_json_schema(mode="serialization"),
        "title": "Everything that Mien holds about one person",
    }


def _row_model(table: Table) -> type[Part]:
    columns: dict[str, Any] = {
        personal_data.opened_name(column): (_type_of(column), ...) for column in personal_data.exported_columns(table)
    }
    return create_model(table.name, __base__=Part, **columns)


def _type_of(column: Column[Any]) -> Any:  # noqa: ANN401 - a type annotation
    form = personal_data.sealed_form(column)
    found: Any = column.type.python_type if form is None else _SEALED_TYPES[form]
    return found | None if column.nullable else found
