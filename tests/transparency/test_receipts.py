"""What a receipt says, and what it does not."""

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.compliance import shipped_notices
from app.consent.notices import parse
from app.faces.permit import Purpose
from app.settings import Settings
from app.transparency.receipts import content as drafting
from app.transparency.verify import receipt as receipts
from app.transparency.verify import vocabulary
from app.transparency.verify.receipt import Receipt, ReceiptError
from tests.architecture.source import ROOT
from tests.transparency.signed_bundles import AT, DOOR, ISSUER, UNTIL, consent, erasure, every_kind, front_matter, right

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def plain(receipt: Receipt) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(receipts.encode_receipt(receipt))
    return found


def schema() -> Draft202012Validator:
    return Draft202012Validator(receipts.receipt_schema())


def leaves(value: Any) -> Iterator[Any]:
    """Every value that is no object and no list."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


def members(value: Any) -> Iterator[str]:
    """The name of every member that a schema knows."""
    if isinstance(value, dict):
        yield from value.get("properties", {})
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from members(inner)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(receipts.receipt_schema())

    assert receipts.receipt_schema()["$id"] == "/v1/schemas/receipt"


@pytest.mark.parametrize("receipt", every_kind(), ids=lambda one: one.kind)
def test_every_kind_fits_the_schema_and_is_read_back(receipt: Receipt) -> None:
    schema().validate(plain(receipt))

    assert receipts.parse_receipt(receipts.encode_receipt(receipt)) == receipt
    assert receipts.encode_receipt(receipts.parse_receipt(receipts.encode_receipt(receipt))) == receipts.encode_receipt(
        receipt
    )


def test_there_is_a_receipt_of_every_kind() -> None:
    assert {receipt.kind for receipt in every_kind()} == set(vocabulary.EVENT_TYPES) == set(vocabulary.EVENT_STATES)
    assert set(get_args(vocabulary.Purpose)) == set(Purpose) == set(vocabulary.PURPOSE_TYPES)


@pytest.mark.parametrize("file", shipped_notices.files(), ids=lambda file: file.name)
def test_every_shipped_notice_gives_a_receipt(file: Any) -> None:
    body = shipped_notices.render(file, Settings())
    purpose = parse(body).purpose
    found = plain(consent(purpose=purpose))
    said = found["pii_processing"]

    schema().validate(found)
    assert said["purpose"] == purpose
    assert said["privacy_notice"]["sha256"] == parse(body).sha256
    assert [party["party_name"] for party in said["recipient_third_parties"]["parties"]] == (
        [] if purpose == "template_renewal" else ["Door"]
    )


def test_a_consent_says_what_was_read() -> None:
    _, matter = front_matter("verification")
    found = plain(consent())
    said = found["pii_processing"]

    assert said["lawful_basis"] == matter["lawful_basis"]
    assert said["pii_information"] == matter["pii_information"]
    assert said["pii_controllers"] == matter["pii_controllers"]
    assert said["storage_locations"] == matter["storage_locations"]
    assert said["retention_period"] == matter["retention_period"]
    assert said["withdrawal_method"] == matter["withdrawal_method"]
    assert said["privacy_rights"]["said"] == matter["privacy_rights"]
    assert said["authority_party"] == matter["authority_party"]
    assert said["jurisdiction"] == matter["jurisdictions"]
    assert (found["controller"], found["profile"]) == ("Demonstration controller", "prototype")
    assert found["schema_version"] == "https://w3id.org/dpv/schema/dpv-27560#receipt-eu-gdpr"
    assert found["event"] == {
        "event_time": "2026-11-26T08:30:15Z",
        "event_type": "https://w3id.org/dpv#ExplicitlyExpressedConsent",
        "event_state": "https://w3id.org/dpv#ConsentGiven",
        "entity_id": "https://w3id.org/dpv#DataSubject",
        "validity_duration": "2026-11-26T08:30:15Z/2027-11-26T00:00:00Z",
    }


def test_time_ends_a_consent_and_a_person_withdraws_it() -> None:
    expired, withdrawn = plain(consent("consent_expired"))["event"], plain(consent("consent_withdrawn"))["event"]

    assert expired["entity_id"].endswith("#DataController")
    assert withdrawn["entity_id"].endswith("#DataSubject")
    assert expired["validity_duration"] is withdrawn["validity_duration"] is None


def test_an_erasure_names_nobody_and_counts() -> None:
    found = plain(erasure())

    assert "pii_principal_id" not in found
    assert found["stores"] == [{"store": "mien.db", "unit": "rows", "before": 14, "after": 0}]
    assert found["kept"][0].keys() == {"what", "holds", "why"}
    assert found["requested_at"] == "2026-11-26"
    assert found["keys_destroyed_at"] == found["completed_at"] == "2026-11-26T08:30:15Z"


def test_a_rectification_does_not_say_what_was_rectified() -> None:
    assert plain(right()).keys() == {
        *("schema_version", "receipt_id", "record_id", "kind", "controller", "profile", "event", "pii_principal_id")
    }


def test_two_receipts_of_one_person_share_no_id() -> None:
    """But for that of the relying party, which is on a public list."""
    ids = [set(UUID.findall(json.dumps(plain(receipt)))) - {str(DOOR.id)} for receipt in every_kind() + every_kind()]

    assert len(set().union(*ids)) == sum(map(len, ids))
    assert {len(one) for one in ids} == {2, 3}


def test_times_are_utc_to_the_second_or_days() -> None:
    there = datetime(2026, 11, 26, 1, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))

    assert drafting.format_time(there) == "2026-11-25T23:00:00Z"
    assert drafting.format_time(date(2026, 11, 26)) == "2026-11-26"


@pytest.mark.parametrize("odd", ["ours", 7, ["a", {"b": 1}], {"since": date(2026, 1, 1)}, [], [["deep"]]])
def test_whatever_a_published_notice_says_can_be_repeated(odd: Any) -> None:
    sha256, matter = front_matter("verification")
    fields = {name: odd for name in matter if name not in {"purpose", "language"}}
    receipt = drafting.consent_receipt(
        kind="consent_given",
        issuer=ISSUER,
        at=AT,
        valid_until=UNTIL,
        notice_sha256=sha256,
        front_matter={**matter, **fields},
        relying_party=DOOR,
    )

    schema().validate(plain(receipt))
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
        {"event": {**plain(consent())["event"], "event_time": "2026-11-26 08:30"}},
        {"event": {**plain(consent())["event"], "validity_duration": None}},
        {"event": {**plain(consent())["event"], "event_state": "https://w3id.org/dpv#ConsentUnknown"}},
    ],
)
def test_what_is_no_receipt_fits_neither_schema_nor_reader(changes: dict[str, Any]) -> None:
    wrong = {**plain(consent()), **changes}

    assert not schema().is_valid(wrong)
    with pytest.raises(ReceiptError):
        receipts.parse_receipt(json.dumps(wrong).encode())


@pytest.mark.parametrize("name", sorted(plain(consent())))
def test_a_receipt_lacks_nothing(name: str) -> None:
    found = plain(consent())
    del found[name]

    assert not schema().is_valid(found)
    with pytest.raises(ReceiptError):
        receipts.parse_receipt(json.dumps(found).encode())


@pytest.mark.parametrize("text", ["2026-02-30T00:00:00Z", "2026-11-26T25:00:00Z", "2026-13-01T00:00:00Z"])
def test_a_time_exists(text: str) -> None:
    found = plain(right())
    found["event"]["event_time"] = text

    with pytest.raises(ReceiptError):
        receipts.parse_receipt(json.dumps(found).encode())


@given(st.binary() | st.text().map(str.encode))
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(ReceiptError):
        receipts.parse_receipt(payload)


def test_every_field_is_in_the_page() -> None:
    page = (ROOT / "docs" / "reference" / "receipts.md").read_text("utf-8")
    named = set(re.findall(r"`([a-z_0-9]+)`", page))

    assert set(members(receipts.receipt_schema())) <= named
    assert set(vocabulary.EVENT_TYPES) <= named
