"""Sealed records keep the bytes that earlier code wrote, and open them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from app.callbacks.deliveries import DeliveryRecord
from app.callbacks.policy import CallbackEvent, DeliveryState
from app.callbacks.tables import Delivery
from app.consent.policy import ConsentEvent, EventState
from app.consent.tables import ConsentEventRow
from app.faces.permit import Purpose
from app.vault.seal import Key, SealError
from app.vault.sealed_list import SealedList
from app.vault.sealing_context import sealing_context

KEY = Key(bytes(range(32)))
CONSENT, PARTY, ROW = (UUID(int=number << 64 | 7) for number in (1, 2, 3))
AT = datetime(2026, 11, 30, 4, 5, 6, 789, tzinfo=UTC)
RECORDED: list[tuple[SealedList[Any], object, str, str]] = [
    (
        SealedList(ConsentEventRow, ConsentEvent),
        ConsentEvent(
            consent_id=CONSENT,
            state=EventState.GIVEN,
            event_time=AT,
            purpose=Purpose.VERIFICATION,
            relying_party_id=PARTY,
            notice_sha256="ab" * 32,
            valid_until=AT.replace(year=2027),
        ),
        (
            '{"consent_id": "00000000-0000-0001-0000-000000000007", "state": "given", '
            '"event_time": "2026-11-30T04:05:06.000789+00:00", "purpose": "verification", '
            '"relying_party_id": "00000000-0000-0002-0000-000000000007", '
            '"notice_sha256": "abababababababababababababababababababababababababababababababab", '
            '"valid_until": "2027-11-30T04:05:06.000789+00:00"}'
        ),
        (
            "5aabb9d830e307df86fa14a5a83ed0a447968e99064cd1a0bae477b7d6fdbf7099b11b2dc74cb9909562f3c1df6300d988c9"
            "08a16687dec5b636e0aad80de004055b3f7bad4bc3199cb9d4a09236f7211bbd9923a6ce94fc87bef503740619bbbe5b70a8"
            "c14bc71b5671c93fc8e443b75d536f74e308a01e3f9269564ab94ddd3e067c47341a877bdc1732acf51197038c88e85b84f2"
            "26255aa69daee92c129245779480d04ac71a0235a17ba23f85294f48ab9cfbb1663cc76bc9e92b2027c2c7a948af3e5253e9"
            "7cbce776d355e948b05c2d9b42efbd1db04d066918e5507f25752787bee1756b1331fd79965c21094c232e61f37682211d2f"
            "b3570fe4a38a4ac69f5dc40bc096feaf32f19238c26ef7e8b529c72918089911162ebd98c3f8772d39c7beaf2d638a6d0838"
            "f0f16bade9fd8901c9529a01a3d047943edcfde51d66cf42ec6d8df638a474a3a9ce250eb25bcbe2e04a627c16c03442d065"
            "dc2e24de916f4c87685a0cbd8451418abedffee169405d"
        ),
    ),
    (
        SealedList(ConsentEventRow, ConsentEvent),
        ConsentEvent(
            consent_id=CONSENT,
            state=EventState.WITHDRAWN,
            event_time=AT.replace(microsecond=0),
            purpose=Purpose.TEMPLATE_RENEWAL,
            relying_party_id=None,
            notice_sha256="cd" * 32,
            valid_until=None,
        ),
        (
            '{"consent_id": "00000000-0000-0001-0000-000000000007", "state": "withdrawn", '
            '"event_time": "2026-11-30T04:05:06+00:00", "purpose": "template_renewal", '
            '"relying_party_id": null, '
            '"notice_sha256": "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd", '
            '"valid_until": null}'
        ),
        (
            "23d106465261974a0020bccf1510062a6b8d420d25ca5b39c13c1e9f362bd54d5b509a746e521173ac574ad94386b74ceeed"
            "4b87e1741a0e6960395c064065bc76f75aef7851cb89604d6f10e8e7756b1d88bc7d106f364071fa7523844170207603f5c4"
            "d072b928451cef3353160a3c787736b7ba32ee216ebc859235a3363683cb516abbb277d5fa5ff3c5f1326eabba1f58ad732e"
            "6a7264e85fa8ebfdde1959c5e518927054ba05f7526e1c210413d638a7763e78c8913c9a193fe106aab2abece490c6e7f629"
            "ca7c62d65e8453eb50f80af82655af7c6892af4d873666df89b37346939c3e53965d219908d46ada8de132f3c456e0cf69ef"
            "8c3078eb04c02b54875985ac7f6b030429acf25f24c3e163adf4d640d68004964fe96367c0a5a699b16e72204013c9c8e913"
            "b9eae779e61de1d797b2"
        ),
    ),
    (
        SealedList(Delivery, DeliveryRecord),
        DeliveryRecord(
            relying_party_id=PARTY,
            event=CallbackEvent.GIVEN,
            purpose=Purpose.VERIFICATION,
            outcome=DeliveryState.PENDING,
            made_at=AT,
            tries=0,
            last_tried_at=None,
            settled_at=None,
        ),
        (
            '{"relying_party_id": "00000000-0000-0002-0000-000000000007", "event": "given", '
            '"purpose": "verification", "outcome": "pending", '
            '"made_at": "2026-11-30T04:05:06.000789+00:00", "tries": 0, "last_tried_at": null, '
            '"settled_at": null}'
        ),
        (
            "c4fec88f2ccb15989012ed87cef75d0763ab2173308f0ce274d6a6bda386796953cd4c21ab3a4c302900a9f827cffc94cbc5"
            "25b5d48565ad31df942a278adebe3c69246a678c4cc5233e38dd6555f601640694d5c5376ed33ea5213a5a2f90ef58def473"
            "0ba2a449cd53f4ef3c1b30c7db474cc41f3d46f20194392bd1a9b3f54e1f9f62ba1982a4148b36132704b2408b85a0559a7f"
            "03e9e45bd6c17cd3cefe8096da7fae8e41b3a969d4bf3f5e80a8aa8eb384e9a76562f5b0ace9a00e8f86885fb1d3e35ecb15"
            "dd9b285fb2e13054122aa2123db5906b62aa7943361f32887b76dd1f180cb4005794dcc2db9012db7ed19a47f6df155fad49"
            "a415d0a98e5c4b"
        ),
    ),
    (
        SealedList(Delivery, DeliveryRecord),
        DeliveryRecord(
            relying_party_id=PARTY,
            event=CallbackEvent.ENDED,
            purpose=Purpose.IDENTIFICATION,
            outcome=DeliveryState.ACKNOWLEDGED,
            made_at=AT,
            tries=3,
            last_tried_at=AT,
            settled_at=AT,
        ),
        (
            '{"relying_party_id": "00000000-0000-0002-0000-000000000007", "event": "ended", '
            '"purpose": "identification", "outcome": "acknowledged", '
            '"made_at": "2026-11-30T04:05:06.000789+00:00", "tries": 3, '
            '"last_tried_at": "2026-11-30T04:05:06.000789+00:00", '
            '"settled_at": "2026-11-30T04:05:06.000789+00:00"}'
        ),
        (
            "e25bf56e1160d3e24191846d2c08377490bbfa2d33eaeba64d61eba66d830990ab2b7a5c4d424722e79552c829e0ed72648f"
            "a01db720ed1e4c4319f0c5faa98ee7a4df4d0bf19c20087c20f2f2db8e3182f460d2506efe6655c78626372f0b7c4aa96594"
            "bb9e2122a79f415f8bad69008e17e7d6f708aa5b2e142ae454dc4c8e60500ba397dc2fb9050e80c88cb0d380a9c953e6a9d1"
            "2d0177250f1ce383d06defee3e69152919d2156b2ee7cea8d1779f5156300076575822673056e305d4a198bea4c74eeb2c62"
            "ca92d5b10ce3f9f812d7801c8328770baa881eba36579db8f89cc632af6b5bf6de926ea06986fcc139a271dd03ef6b6097b9"
            "82f8ebff6ae5a8f3630218f510c342f3f5693df07e999f799d7b52564a83f9ee488365f3d21ab7a08600da03b771cfc73dbf"
            "ed800866993bb22c29e1ec9b0576f32ac3f7fe0e37102b92"
        ),
    ),
]
"""Codec, record, JSON text, and the sealed row in hexadecimal; written before there was a `SealedList`."""


@pytest.mark.parametrize(("codec", "record", "text", "sealed"), RECORDED)
def test_row_of_earlier_code_opens(codec: SealedList[Any], record: object, text: str, sealed: str) -> None:
    row = bytes.fromhex(sealed)

    assert codec.open(KEY, ROW, row) == record
    assert KEY.open(row, sealing_context(codec.table.sealed, ROW)).decode() == text


@pytest.mark.parametrize(("codec", "record", "text", "sealed"), RECORDED)
def test_text_is_the_same_as_in_earlier_code(codec: SealedList[Any], record: object, text: str, sealed: str) -> None:
    made = codec.seal(KEY, ROW, record)

    assert len(made) == len(bytes.fromhex(sealed))
    assert KEY.open(made, sealing_context(codec.table.sealed, ROW)).decode() == text


def test_row_opens_under_its_own_id_only() -> None:
    codec, record, _, _ = RECORDED[0]

    with pytest.raises(SealError):
        codec.open(KEY, PARTY, codec.seal(KEY, ROW, record))


def test_field_that_older_rows_lack_takes_its_default_and_text_stays_ascii() -> None:
    @dataclass(frozen=True)
    class Note:
        text: str
        seen: bool = False

    @dataclass(frozen=True)
    class OlderNote:
        text: str

    older = SealedList(Delivery, OlderNote).seal(KEY, ROW, OlderNote("schön"))

    assert SealedList(Delivery, Note).open(KEY, ROW, older) == Note("schön", seen=False)
    assert KEY.open(older, sealing_context(Delivery.sealed, ROW)) == b'{"text": "sch\\u00f6n"}'
