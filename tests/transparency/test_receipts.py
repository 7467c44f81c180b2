"""The content of receipts: complete, valid by the published schema, and without links between receipts."""

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from app.compliance import shipped_notices
from app.consent.notice_template import parse
from app.faces.permit import Purpose
from app.settings import DEMONSTRATION
from app.transparency.receipts import content
from app.transparency.verify import receipt as receipts
from app.transparency.verify import vocabulary
from app.transparency.verify.receipt import Receipt
from tests.architecture.source import ROOT
from tests.consent.drafts import facts_of
from tests.transparency.signed_bundles import (
    AT,
    DOOR,
    SETTINGS,
    UNTIL,
    consent,
    erasure,
    every_kind,
    front_matter,
    right,
)

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def as_json(receipt: Receipt) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(receipts.encode_receipt(receipt))
    return fields


def is_refused(payload: bytes) -> bool:
    """Return whether `parse_receipt` refuses a payload. A ValidationError would quote the input."""
    with pytest.raises(ValueError, match=r"^.+$") as caught:
        receipts.parse_receipt(payload)
    return not isinstance(caught.value, ValidationError)


def schema() -> Draft202012Validator:
    return Draft202012Validator(receipts.receipt_schema())


def members(value: Any) -> Iterator[str]:
    """Yield the name of every member in a schema."""
    if isinstance(value, dict):
        yield from value.get("properties", {})
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from members(inner)


def test_the_schema_is_valid() -> None:
    Draft202012Validator.check_schema(receipts.receipt_schema())

    assert receipts.receipt_schema()["$id"] == "/v1/schemas/receipt"


@pytest.mark.parametrize("receipt", every_kind(), ids=lambda receipt: receipt.kind)
def test_every_kind_is_valid_by_the_schema_and_is_read_back(receipt: Receipt) -> None:
    schema().validate(as_json(receipt))
    payload = receipts.encode_receipt(receipt)

    assert receipts.parse_receipt(payload) == receipt
    assert receipts.encode_receipt(receipts.parse_receipt(payload)) == payload


def test_there_is_a_receipt_of_every_kind() -> None:
    assert {receipt.kind for receipt in every_kind()} == set(vocabulary.EVENT_TYPES) == set(vocabulary.EVENT_STATES)
    assert set(get_args(vocabulary.Purpose)) == set(Purpose) == set(vocabulary.PURPOSE_TYPES)


@pytest.mark.parametrize("file", shipped_notices.files(), ids=lambda file: file.name)
def test_every_shipped_notice_gives_a_receipt(file: Any) -> None:
    body = shipped_notices.render(file, facts_of())
    purpose = parse(body).purpose
    receipt = as_json(consent(purpose=purpose))
    processing = receipt["pii_processing"]

    schema().validate(receipt)
    assert processing["purpose"] == purpose
    assert processing["privacy_notice"]["sha256"] == parse(body).sha256
    assert [party["party_name"] for party in processing["recipient_third_parties"]["parties"]] == (
        [] if purpose == "template_renewal" else ["Door"]
    )


def test_the_receipt_of_a_consent_repeats_the_notice() -> None:
    _, matter = front_matter("verification")
    found = as_json(consent())
    processing = found["pii_processing"]

    assert processing["lawful_basis"] == matter["lawful_basis"]
    assert processing["pii_information"] == matter["pii_information"]
    assert processing["pii_controllers"] == matter["pii_controllers"]
    assert processing["storage_locations"] == matter["storage_locations"]
    assert processing["retention_period"] == matter["retention_period"]
    assert processing["withdrawal_method"] == matter["withdrawal_method"]
    assert processing["privacy_rights"]["said"] == matter["privacy_rights"]
    assert processing["authority_party"] == matter["authority_party"]
    assert processing["jurisdiction"] == matter["jurisdictions"]
    assert (found["controller"], found["profile"]) == (DEMONSTRATION, "prototype")
    assert found["schema_version"] == "https://w3id.org/dpv/schema/dpv-27560#receipt-eu-gdpr"
    assert found["event"] == {
        "event_time": "2026-11-26T08:30:15Z",
        "event_type": "https://w3id.org/dpv#ExplicitlyExpressedConsent",
        "event_state": "https://w3id.org/dpv#ConsentGiven",
        "entity_id": "https://w3id.org/dpv#DataSubject",
        "validity_duration": "2026-11-26T08:30:15Z/2027-11-26T00:00:00Z",
    }


def test_the_controller_ends_an_expired_consent_and_the_subject_a_withdrawn_one() -> None:
    expired, withdrawn = as_json(consent("consent_expired"))["event"], as_json(consent("consent_withdrawn"))["event"]

    assert expired["entity_id"].endswith("#DataController")
    assert withdrawn["entity_id"].endswith("#DataSubject")
    assert expired["validity_duration"] is withdrawn["validity_duration"] is None


def test_the_receipt_of_an_erasure_has_counts_and_no_subject() -> None:
    found = as_json(erasure())

    assert "pii_principal_id" not in found
    assert found["stores"] == [{"store": "mien.db", "unit": "rows", "before": 14, "after": 0}]
    assert found["kept"][0].keys() == {"what", "holds", "why"}
    assert found["requested_at"] == "2026-11-26"
    assert found["keys_destroyed_at"] == found["completed_at"] == "2026-11-26T08:30:15Z"


def test_the_receipt_of_a_rectification_has_no_rectified_value() -> None:
    assert as_json(right()).keys() == {
        *("schema_version", "receipt_id", "record_id", "kind", "controller", "profile", "event", "pii_principal_id")
    }


def test_two_receipts_of_one_subject_share_no_id() -> None:
    """Except the id of the relying party, which is on a public list."""
    ids = [set(UUID.findall(json.dumps(as_json(receipt)))) - {DOOR.party_id} for receipt in every_kind() + every_kind()]

    assert len(set().union(*ids)) == sum(map(len, ids))
    assert {len(found) for found in ids} == {2, 3}


def test_times_are_utc_to_the_second_or_days() -> None:
    there = datetime(2026, 11, 26, 1, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))

    assert content.format_time(there) == "2026-11-25T23:00:00Z"
    assert content.format_time(date(2026, 11, 26)) == "2026-11-26"


@pytest.mark.parametrize("odd", ["ours", 7, ["a", {"b": 1}], {"since": date(2026, 1, 1)}, [], [["deep"]]])
def test_a_receipt_repeats_every_form_of_front_matter(odd: Any) -> None:
    sha256, matter = front_matter("verification")
    fields = {name: odd for name in matter if name not in {"purpose", "language"}}
    receipt = content.consent_receipt(
        kind="consent_given",
        settings=SETTINGS,
        at=AT,
        valid_until=UNTIL,
        notice_sha256=sha256,
        front_matter={**matter, **fields},
        relying_party=DOOR,
    )

    schema().validate(as_json(receipt))
    assert receipts.parse_receipt(receipts.encode_receipt(receipt)) == receipt


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "consent_refused"},
        {"kind": "erasure"},
        {"kind": "advertising"},
        {"extra": 1},
        {"receipt_id": "5f0c2b1e-8d1e-1d0b-9a4e-0b8a6d9f1c23"},
        {"receipt_id": None},
        {"profile": "test"},
        {"schema_version": "https://w3id.org/dpv/schema/dpv-27560#record"},
        {"event": {**as_json(consent())["event"], "event_time": "2026-11-26 08:30"}},
        {"event": {**as_json(consent())["event"], "validity_duration": None}},
        {"event": {**as_json(consent())["event"], "event_state": "https://w3id.org/dpv#ConsentUnknown"}},
    ],
)
def test_a_wrong_receipt_is_refused_by_the_schema_and_the_parser(changes: dict[str, Any]) -> None:
    wrong = {**as_json(consent()), **changes}

    assert not schema().is_valid(wrong)
    assert is_refused(json.dumps(wrong).encode())


@pytest.mark.parametrize("name", sorted(as_json(consent())))
def test_a_receipt_with_a_missing_field_is_refused(name: str) -> None:
    found = as_json(consent())
    del found[name]

    assert not schema().is_valid(found)
    assert is_refused(json.dumps(found).encode())


@pytest.mark.parametrize("text", ["2026-02-30T00:00:00Z", "2026-11-26T25:00:00Z", "2026-13-01T00:00:00Z"])
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    found = as_json(right())
    found["event"]["event_time"] = text

    assert is_refused(json.dumps(found).encode())


@given(st.binary() | st.text().map(str.encode))
def test_any_other_payload_is_refused(payload: bytes) -> None:
    assert is_refused(payload)


def test_every_field_is_in_the_page() -> None:
    page = (ROOT / "docs" / "reference" / "receipts.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_0-9]+)`", page))

    assert set(members(receipts.receipt_schema())) <= named
    assert set(vocabulary.EVENT_TYPES) <= named
