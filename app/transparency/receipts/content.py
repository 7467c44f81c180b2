"""The content of each kind of receipt, built from the facts of the event. No I/O."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from app.settings import Settings
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

COPIED = (
    "lawful_basis",
    "pii_information",
    "pii_controllers",
    "processing_method",
    "storage_locations",
    "retention_period",
    "withdrawal_method",
    "authority_party",
)
"""Fields of the front matter that a receipt repeats under the same name, besides those that it structures."""


def recipient(party_id: UUID, *, name: str, contact: str) -> Party:
    """Return the relying party of a consent, as a receipt names it."""
    return Party(party_id=str(party_id), party_name=name, party_contact=contact, party_type=vocabulary.RECIPIENT)


def consent_receipt(
    *,
    kind: vocabulary.ConsentKind,
    settings: Settings,
    at: date,
    valid_until: datetime | None,
    notice_sha256: str,
    front_matter: Mapping[str, Any],
    relying_party: Party | None,
) -> ConsentReceipt:
    """Return the content for a decision about one consent, or for its end.

    Args:
        kind: the event.
        settings: name the controller and the profile.
        at: the time of the event, or its day where the receipt must not name a finer time.
        valid_until: the end of a consent that was given; None for other events.
        notice_sha256: the notice that the subject read.
        front_matter: the front matter of that notice.
        relying_party: the recipient; None if the consent is for the controller alone.
    """
    validity = None if valid_until is None else f"{format_time(at)}/{format_time(valid_until)}"
    return ConsentReceipt(
        **_common_fields(kind, settings, format_time(at), validity=validity),
        pii_principal_id=str(uuid4()),
        pii_processing=processing_content(front_matter, sha256=notice_sha256, relying_party=relying_party),
    )


def right_receipt(*, kind: vocabulary.RightKind, settings: Settings, at: datetime) -> RightReceipt:
    """Return the content for the use of a right, without the data that the subject saw or changed."""
    return RightReceipt(**_common_fields(kind, settings, format_time(at)), pii_principal_id=str(uuid4()))


def erasure_receipt(
    *,
    settings: Settings,
    requested: date,
    keys_destroyed: date,
    completed: date,
    stores: Sequence[StoreCount],
    kept: Sequence[KeptItem],
) -> ErasureReceipt:
    """Return the content for an erasure. Each time is an instant, or a day where no finer time is kept."""
    return ErasureReceipt(
        **_common_fields("erasure", settings, format_time(completed)),
        requested_at=format_time(requested),
        keys_destroyed_at=format_time(keys_destroyed),
        completed_at=format_time(completed),
        stores=tuple(stores),
        kept=tuple(kept),
    )


def processing_content(front_matter: Mapping[str, Any], *, sha256: str, relying_party: Party | None) -> Processing:
    """Copy the front matter of a notice into the fields of ISO/IEC TS 27560."""
    purpose: vocabulary.Purpose = front_matter["purpose"]
    texts: dict[str, Any] = {name: _notice_text(value) for name, value in front_matter.items()}
    title, version, language = (_text(front_matter[name]) for name in ("title", "version", "language"))
    parties = () if relying_party is None else (relying_party,)
    return Processing(
        **{name: texts[name] for name in COPIED},
        privacy_notice=PrivacyNotice(sha256=sha256, title=title, version=version),
        language=language,
        purpose=purpose,
        purpose_type=vocabulary.PURPOSE_TYPES[purpose],
        special_pii_category=texts.get("special_pii_category", ()),
        jurisdiction=texts["jurisdictions"],
        recipient_third_parties=Recipients(parties=parties, said=texts["recipient_third_parties"]),
        privacy_rights=Rights(terms=vocabulary.RIGHTS, said=texts["privacy_rights"]),
    )


def format_time(moment: date) -> str:
    """Format an instant in UTC to the second, or a day."""
    if not isinstance(moment, datetime):
        return moment.isoformat()
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _common_fields(
    kind: vocabulary.Kind, settings: Settings, event_time: str, *, validity: str | None = None
) -> dict[str, Any]:
    """Return the fields of every receipt. Its ids are random and appear in no other receipt."""
    return {
        "schema_version": vocabulary.RECEIPT_PROFILE,
        "receipt_id": str(uuid4()),
        "record_id": str(uuid4()),
        "kind": kind,
        "controller": settings.controller,
        "profile": settings.profile,
        "event": Event(event_time=event_time, validity_duration=validity, **vocabulary.event_terms(kind)),
    }


def _notice_text(value: object) -> NoticeText:
    return tuple(_item(item) for item in value) if isinstance(value, list) else _item(value)


def _item(value: object) -> str | dict[str, str]:
    if isinstance(value, dict):
        return {str(name): _text(member) for name, member in value.items()}
    return _text(value)


def _text(value: object) -> str:
    """Return a text unchanged, and any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
