"""What a receipt says: the fields of ISO/IEC TS 27560, with terms of the Data Privacy Vocabulary.

* **No two receipts can be joined.** Every id in one is random and new. No id of a person, consent, account, token or
  reference is in it, and nothing that was rectified.
* **A receipt of an erasure names nobody**, not even by a random id.
* **What the person read is repeated in its own words**: the front matter of the notice, under the same names.
* A time is a whole second, in UTC. What is not held to the second is a day.

The bytes that `encoded` gives are what is signed, and what is in the log. The schema is published at `SCHEMA_ID`.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from app.transparency.verify import vocabulary
from app.transparency.verify.canonical_json import Digest, describe_validation_error, encode_json, parse_json

SCHEMA_ID = "/v1/schemas/receipt"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


class ReceiptError(ValueError):
    """What was signed is no receipt of this version."""


def _exists(text: str) -> str:
    """Refuse a day or a time that no calendar has."""
    datetime.fromisoformat(text)
    return text


DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
INSTANT = DAY + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
Instant = Annotated[str, Field(pattern=f"^{INSTANT}$"), AfterValidator(_exists)]
"""RFC 3339, in UTC, to the second."""
When = Annotated[str, Field(pattern=f"^{DAY}(T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}Z)?$"), AfterValidator(_exists)]
"""An instant, or a day where no finer time is kept."""
RandomId = Annotated[str, Field(pattern="^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
"""A random UUID."""
Count = Annotated[int, Field(ge=0)]
NoticeText = str | dict[str, str] | tuple[str | dict[str, str], ...]
"""What the notice says: a text, a table of texts, or a list of these."""


def _together(schema: dict[str, Any]) -> None:
    """Put into a schema which terms go with which word."""
    kind = schema["properties"]["kind"]
    schema["allOf"] = [
        {"if": {"properties": {"kind": {"const": one}}}, "then": {"properties": {"event": {"properties": _fixed(one)}}}}
        for one in kind.get("enum", [kind.get("const")])
    ]


def _fixed(kind: vocabulary.Kind) -> dict[str, Any]:
    fixed: dict[str, Any] = {name: {"const": said} for name, said in _meant(kind).items()}
    return {**fixed, "validity_duration": {"type": "string" if kind == "consent_given" else "null"}}


def _meant(kind: vocabulary.Kind) -> dict[str, str]:
    """Return the terms that go with a word."""
    return {
        "event_type": vocabulary.EVENT_TYPES[kind],
        "event_state": vocabulary.EVENT_STATES[kind],
        "entity_id": vocabulary.expressed_by(kind),
    }


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Event(_Part):
    """What happened."""

    event_time: When
    event_type: str
    """The type of consent, or the right that was used."""
    event_state: str
    entity_id: str
    """Who did it, by role: the data subject, or the controller where time ended a consent."""
    validity_duration: Annotated[str, Field(pattern=f"^{INSTANT}/{INSTANT}$")] | None
    """From when to when the consent is valid (ISO 8601): only where it was given."""


class Party(_Part):
    """A relying party, as it is listed at `/v1/relying-parties`."""

    party_id: RandomId
    party_name: str
    party_contact: str
    party_type: Literal["https://w3id.org/dpv#Recipient"]


class Recipients(_Part):
    """Who gets something."""

    parties: tuple[Party, ...]
    """The one relying party that the consent is for; nobody where the controller keeps photos."""
    said: NoticeText


class Rights(_Part):
    """What the person may do."""

    terms: tuple[str, ...]
    """Articles of the GDPR."""
    said: NoticeText


class PrivacyNotice(_Part):
    """The text that was read: `/v1/notices/{sha256}`, the same bytes for ever."""

    sha256: Digest
    title: str
    version: str


class Processing(_Part):
    """What the consent is about, as the notice says it."""

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


class _Receipt(_Part):
    model_config = ConfigDict(json_schema_extra=_together)

    schema_version: Literal["https://w3id.org/dpv/schema/dpv-27560#receipt-eu-gdpr"]
    receipt_id: RandomId
    record_id: RandomId
    kind: vocabulary.Kind
    """What happened, in one word."""
    controller: str
    """Who answers for it."""
    profile: Literal["prototype", "live"]
    """`prototype`: a demonstration, with nobody behind it."""
    event: Event

    @model_validator(mode="after")
    def says_one_thing(self) -> Self:
        """Refuse a word and terms that do not belong together."""
        said = self.event.model_dump(include={"event_type", "event_state", "entity_id"})
        if said != _meant(self.kind) or (self.event.validity_duration is not None) != (self.kind == "consent_given"):
            raise ValueError("kind and event do not belong together")
        return self


class ConsentReceipt(_Receipt):
    """That a consent was given, refused, withdrawn, or expired."""

    kind: vocabulary.ConsentKind
    pii_principal_id: RandomId
    """Stands for the person in this receipt and nowhere else."""
    pii_processing: Processing


class RightReceipt(_Receipt):
    """That a person used a right. What they saw or changed is not in it."""

    kind: vocabulary.RightKind
    pii_principal_id: RandomId
    """Stands for the person in this receipt and nowhere else."""


class StoreCount(_Part):
    """One store, counted before and after."""

    store: str
    unit: str
    before: Count
    after: Count


class KeptItem(_Part):
    """What remains, and why."""

    what: str
    holds: str
    why: str


class ErasureReceipt(_Receipt):
    """That a person was erased. It names nobody."""

    kind: Literal["erasure"]
    requested_at: When
    keys_destroyed_at: When
    completed_at: When
    stores: tuple[StoreCount, ...]
    kept: tuple[KeptItem, ...]


Receipt = ConsentReceipt | RightReceipt | ErasureReceipt
RECEIPT: TypeAdapter[Receipt] = TypeAdapter(Annotated[Receipt, Field(discriminator="kind")])


def receipt_schema() -> dict[str, Any]:
    """Return the JSON Schema of a receipt, as it is published."""
    return {"$schema": DRAFT, "$id": SCHEMA_ID, "title": "Receipt of Mien", **RECEIPT.json_schema()}


def encode_receipt(receipt: Receipt) -> bytes:
    """Return the bytes of a receipt, which are signed and are in the log: always the same for the same receipt."""
    return encode_json(receipt.model_dump(mode="json"))


def parse_receipt(payload: bytes) -> Receipt:
    """Read what was signed.

    Raises:
        ReceiptError: it is no receipt of this version.
    """
    try:
        parse_json(payload)
        return RECEIPT.validate_json(payload)
    except ValidationError as error:
        raise ReceiptError(describe_validation_error(error)) from error
    except ValueError as error:
        raise ReceiptError(str(error)) from error
