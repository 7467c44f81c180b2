"""Receipts filled in. Pure: takes what happened, and gives what is to be signed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, Self
from uuid import UUID, uuid4

from app.transparency.verify import vocabulary
from app.transparency.verify.receipt import (
    ConsentReceipt,
    ErasureReceipt,
    Event,
    KeptItem,
    NoticeText,
    Party,
    PrivacyNotice,
    Processing,
    Recipients,
    RightReceipt,
    Rights,
    StoreCount,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who answers for what the receipt says, and whether anybody stands behind the name."""

    controller: str
    profile: Literal["prototype", "live"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptIds:
    """The ids of one receipt, and of no other."""

    receipt_id: UUID
    record_id: UUID
    pii_principal_id: UUID
    """Not used by an erasure, which names nobody."""

    @classmethod
    def fresh(cls) -> Self:
        """Draw new ones."""
        return cls(receipt_id=uuid4(), record_id=uuid4(), pii_principal_id=uuid4())


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecipient:
    """For whom a consent is."""

    id: UUID
    name: str
    contact: str


def consent_receipt(
    *,
    kind: vocabulary.ConsentKind,
    issuer: Issuer,
    ids: ReceiptIds,
    at: date,
    valid_until: datetime | None,
    notice_sha256: str,
    matter: Mapping[str, Any],
    relying_party: ConsentRecipient | None,
) -> ConsentReceipt:
    """Fill in the receipt of what was decided about one consent, or of its end.

    *matter* is the front matter of the notice that was read, as TOML gives it; *valid_until* goes with a consent that
    was given, and with no other; *at* is an instant, or a day where no finer time is to be told.
    """
    validity = None if valid_until is None else f"{format_time(at)}/{format_time(valid_until)}"
    return ConsentReceipt(
        schema_version=vocabulary.RECEIPT_PROFILE,
        receipt_id=str(ids.receipt_id),
        record_id=str(ids.record_id),
        kind=kind,
        controller=issuer.controller,
        profile=issuer.profile,
        event=_event(kind, format_time(at), validity=validity),
        pii_principal_id=str(ids.pii_principal_id),
        pii_processing=processing_content(matter, sha256=notice_sha256, relying_party=relying_party),
    )


def right_receipt(*, kind: vocabulary.RightKind, issuer: Issuer, ids: ReceiptIds, at: datetime) -> RightReceipt:
    """Fill in the receipt of a right that was used. What was seen or changed is not asked for."""
    return RightReceipt(
        schema_version=vocabulary.RECEIPT_PROFILE,
        receipt_id=str(ids.receipt_id),
        record_id=str(ids.record_id),
        kind=kind,
        controller=issuer.controller,
        profile=issuer.profile,
        event=_event(kind, format_time(at)),
        pii_principal_id=str(ids.pii_principal_id),
    )


def erasure_receipt(
    *,
    issuer: Issuer,
    ids: ReceiptIds,
    requested: date,
    keys_destroyed: date,
    completed: date,
    stores: Sequence[StoreCount],
    kept: Sequence[KeptItem],
) -> ErasureReceipt:
    """Fill in the receipt of an erasure. Each time is an instant, or only a day where no finer one is kept."""
    return ErasureReceipt(
        schema_version=vocabulary.RECEIPT_PROFILE,
        receipt_id=str(ids.receipt_id),
        record_id=str(ids.record_id),
        kind="erasure",
        controller=issuer.controller,
        profile=issuer.profile,
        event=_event("erasure", format_time(completed)),
        requested_at=format_time(requested),
        keys_destroyed_at=format_time(keys_destroyed),
        completed_at=format_time(completed),
        stores=tuple(stores),
        kept=tuple(kept),
    )


def processing_content(matter: Mapping[str, Any], *, sha256: str, relying_party: ConsentRecipient | None) -> Processing:
    """Repeat what a notice says of the processing, under the names of ISO/IEC TS 27560."""
    purpose: vocabulary.Purpose = matter["purpose"]
    notice = PrivacyNotice(sha256=sha256, title=_words(matter["title"]), version=_words(matter["version"]))
    said = {name: _said(value) for name, value in matter.items()}
    return Processing(
        privacy_notice=notice,
        language=_words(matter["language"]),
        purpose=purpose,
        purpose_type=vocabulary.PURPOSE_TYPES[purpose],
        lawful_basis=said["lawful_basis"],
        pii_information=said["pii_information"],
        special_pii_category=said.get("special_pii_category", ()),
        pii_controllers=said["pii_controllers"],
        processing_method=said["processing_method"],
        storage_locations=said["storage_locations"],
        retention_period=said["retention_period"],
        jurisdiction=said["jurisdictions"],
        recipient_third_parties=Recipients(parties=_parties(relying_party), said=said["recipient_third_parties"]),
        withdrawal_method=said["withdrawal_method"],
        privacy_rights=Rights(terms=vocabulary.RIGHTS, said=said["privacy_rights"]),
        authority_party=said["authority_party"],
    )


def format_time(moment: date) -> str:
    """Write an instant in UTC to the second, or a day as it is."""
    if not isinstance(moment, datetime):
        return moment.isoformat()
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _event(kind: vocabulary.Kind, event_time: str, *, validity: str | None = None) -> Event:
    return Event(
        event_time=event_time,
        event_type=vocabulary.EVENT_TYPES[kind],
        event_state=vocabulary.EVENT_STATES[kind],
        entity_id=vocabulary.expressed_by(kind),
        validity_duration=validity,
    )


def _parties(party: ConsentRecipient | None) -> tuple[Party, ...]:
    if party is None:
        return ()
    return (
        Party(
            party_id=str(party.id), party_name=party.name, party_contact=party.contact, party_type=vocabulary.RECIPIENT
        ),
    )


def _said(value: object) -> NoticeText:
    """Repeat what stands in the front matter: a text, a table, or a list of these; whatever else, as JSON."""
    return tuple(_one(item) for item in value) if isinstance(value, list) else _one(value)


def _one(value: object) -> str | dict[str, str]:
    if isinstance(value, dict):
        return {str(name): _words(one) for name, one in value.items()}
    return _words(value)


def _words(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
