"""The content models of a receipt: the fields of ISO/IEC TS 27560 with terms of the Data Privacy Vocabulary.

* **Nothing links two receipts of one subject.** All ids in a receipt are random and new. It has no id of an account,
  consent, token or reference, and no rectified value.
* **A receipt of an erasure does not identify the subject**, not even by a random id.
* **A receipt repeats the front matter of the notice** that the subject read, under the same names.
* A time is in UTC, to the second. Where the service does not keep the second, it is a day.

`encode_receipt` returns the bytes that are signed and hashed into the leaf. `SCHEMA_ID` is the path of the schema.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from app.transparency.verify import vocabulary
from app.transparency.verify.canonical_json import (
    Digest,
    StrictModel,
    describe_validation_error,
    encode_json,
    parse_json,
)

SCHEMA_ID = "/v1/schemas/receipt"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def _refuse_impossible_date(text: str) -> str:
    """Refuse a day or a time that does not exist."""
    datetime.fromisoformat(text)
    return text


DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
INSTANT = DAY + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
Instant = Annotated[str, Field(pattern=f"^{INSTANT}$"), AfterValidator(_refuse_impossible_date)]
"""RFC 3339, in UTC, to the second."""
When = Annotated[
    str, Field(pattern=f"^{DAY}(T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}Z)?$"), AfterValidator(_refuse_impossible_date)
]
"""An instant, or a day where no finer time is kept."""
RandomId = Annotated[str, Field(pattern="^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
"""A random UUID."""
Count = Annotated[int, Field(ge=0)]
NoticeText = str | dict[str, str] | tuple[str | dict[str, str], ...]
"""A value of the notice's front matter: a text, a table of texts, or a list of these."""


def _add_event_terms(schema: dict[str, Any]) -> None:
    """Add the event terms of each kind to the JSON Schema of a receipt."""
    kinds = schema["properties"]["kind"]
    schema["allOf"] = []
    for kind in kinds.get("enum", [kinds.get("const")]):
        event: dict[str, Any] = {name: {"const": term} for name, term in vocabulary.event_terms(kind).items()}
        event["validity_duration"] = {"type": "string" if kind == "consent_given" else "null"}
        then = {"properties": {"event": {"properties": event}}}
        schema["allOf"].append({"if": {"properties": {"kind": {"const": kind}}}, "then": then})


class Event(StrictModel):
    """The event that the receipt records."""

    event_time: When
    event_type: str
    """The type of consent, or the right that the subject used."""
    event_state: str
    entity_id: str
    """The role that acted: the data subject, or the controller when a consent expired."""
    validity_duration: Annotated[str, Field(pattern=f"^{INSTANT}/{INSTANT}$")] | None
    """The start and end of the consent (ISO 8601); null unless consent was given."""


class Party(StrictModel):
    """A relying party, as listed at `/v1/relying-parties`."""

    party_id: RandomId
    party_name: str
    party_contact: str
    party_type: Literal["https://w3id.org/dpv#Recipient"]


class Recipients(StrictModel):
    """The recipients of the data."""

    parties: tuple[Party, ...]
    """The relying party of the consent; empty if the consent is for the controller alone."""
    said: NoticeText


class Rights(StrictModel):
    """The rights of the subject."""

    terms: tuple[str, ...]
    """Articles of the GDPR."""
    said: NoticeText


class PrivacyNotice(StrictModel):
    """The notice that the subject read: `/v1/notices/{sha256}`, which never changes."""

    sha256: Digest
    title: str
    version: str


class Processing(StrictModel):
    """The processing that the consent covers, in the words of the notice."""

    privacy_notice: PrivacyNotice
    language: str
    purpose: vocabulary.Purpose
    purpose_type: str
    lawful_basis: NoticeText
    pii_information: NoticeText
    special_pii_category: NoticeText
    pii_controllers: NoticeText
    processing_method: NoticeText
    storage_locations: NoticeText
    retention_period: NoticeText
    jurisdiction: NoticeText
    recipient_third_parties: Recipients
    withdrawal_method: NoticeText
    privacy_rights: Rights
    authority_party: NoticeText


class _Receipt(StrictModel):
    model_config = ConfigDict(json_schema_extra=_add_event_terms)

    schema_version: Literal["https://w3id.org/dpv/schema/dpv-27560#receipt-eu-gdpr"]
    receipt_id: RandomId
    record_id: RandomId
    kind: vocabulary.Kind
    """The event, in one word."""
    controller: str
    """The controller who is responsible."""
    profile: Literal["prototype", "live"]
    """`prototype`: a demonstration, without a real controller."""
    event: Event

    @model_validator(mode="after")
    def event_matches_kind(self) -> Self:
        """Refuse an event with the terms of another kind."""
        event, terms = self.event, vocabulary.event_terms(self.kind)
        has_validity = event.validity_duration is not None
        if event.model_dump(include=set(terms)) != terms or has_validity != (self.kind == "consent_given"):
            raise ValueError("kind and event do not match")
        return self


class ConsentReceipt(_Receipt):
    """The receipt of a consent that was given, refused or withdrawn, or that expired."""

    kind: vocabulary.ConsentKind
    pii_principal_id: RandomId
    """A random id of the subject, used in this receipt only."""
    pii_processing: Processing


class RightReceipt(_Receipt):
    """The receipt of a right that the subject used, without the data that they saw or changed."""

    kind: vocabulary.RightKind
    pii_principal_id: RandomId
    """A random id of the subject, used in this receipt only."""


class StoreCount(StrictModel):
    """The count of one store before and after the erasure."""

    store: str
    unit: str
    before: Count
    after: Count


class KeptItem(StrictModel):
    """Data that remains after the erasure, and the reason."""

    what: str
    holds: str
    why: str


class ErasureReceipt(_Receipt):
    """The receipt of an erasure. It does not identify the subject."""

    kind: Literal["erasure"]
    requested_at: When
    keys_destroyed_at: When
    completed_at: When
    stores: tuple[StoreCount, ...]
    kept: tuple[KeptItem, ...]


Receipt = ConsentReceipt | RightReceipt | ErasureReceipt
RECEIPT: TypeAdapter[Receipt] = TypeAdapter(Annotated[Receipt, Field(discriminator="kind")])


def receipt_schema() -> dict[str, Any]:
    """Return the published JSON Schema of a receipt."""
    return {"$schema": DRAFT, "$id": SCHEMA_ID, "title": "Receipt of Mien", **RECEIPT.json_schema()}


def encode_receipt(receipt: Receipt) -> bytes:
    """Return the bytes of a receipt that are signed and hashed: the same for the same receipt."""
    return encode_json(receipt.model_dump(mode="json"))


def parse_receipt(payload: bytes) -> Receipt:
    """Parse a verified payload.

    Raises:
        ValueError: the payload is not a receipt of this version. The text quotes no input.
    """
    parse_json(payload)
    try:
        return RECEIPT.validate_json(payload)
    except ValidationError as error:
        raise ValueError(describe_validation_error(error)) from error
