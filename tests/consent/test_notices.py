"""Notices: each exact text stays readable under its digest."""

import hashlib

import pytest

from app.consent import notice_template
from app.consent.notice_template import NoticeError
from app.faces.permit import Purpose
from tests.consent.drafts import NEXT_VERSION, VERSION_LINE, draft, facts_of, filled, publish, shipped
from tests.consent.spies import count
from tests.support.service_fixture import RunningService


def test_every_purpose_has_a_notice_whose_bytes_hash_to_its_id(service: RunningService) -> None:
    listed = service.client.get("/v1/notices").json()

    assert {item["purpose"] for item in listed["items"]} == set(Purpose)
    for item in listed["items"]:
        text = service.client.get(f"/v1/notices/{item['sha256']}")

        assert hashlib.sha256(text.content).hexdigest() == item["sha256"]
        assert text.content == shipped(item["purpose"])
        assert text.headers["content-type"].startswith("text/markdown")
        assert "immutable" in text.headers["cache-control"]
        assert set(item) == {"sha256", "purpose", "language", "version", "published_at"}


def test_a_superseded_notice_stays_readable(service: RunningService) -> None:
    old = service.notice("verification")
    before = service.client.get(f"/v1/notices/{old}").content
    body = filled(draft())

    new = publish(service.vault, draft(), now=service.clock())

    assert service.notice("verification") == new == hashlib.sha256(body).hexdigest()
    assert service.client.get(f"/v1/notices/{new}").content == body
    assert service.client.get(f"/v1/notices/{old}").content == before
    assert old not in service.client.get("/v1/notices").text
    assert len(service.client.get("/v1/notices").json()["items"]) == len(Purpose)


def test_an_unpublished_notice_is_not_found(service: RunningService) -> None:
    for name in ("0" * 64, "x", "%2e%2e", service.notice("verification").upper()):
        assert service.client.get(f"/v1/notices/{name}").status_code == 404


def test_publishing_the_same_notice_again_changes_nothing(service: RunningService) -> None:
    body = draft()
    first = publish(service.vault, body, now=service.clock())
    listed = service.client.get("/v1/notices").json()

    second = publish(service.vault, body, now=service.clock())

    assert first == second
    assert service.client.get("/v1/notices").json() == listed


@pytest.mark.parametrize("version", [-1, 0, 1, 2])
def test_a_changed_text_needs_a_higher_version(service: RunningService, version: int) -> None:
    with pytest.raises(NoticeError, match="higher version"):
        publish(service.vault, draft(version=version), now=service.clock())

    assert count(service.vault, "notices") == len(Purpose)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\xff\xfe",
        b"just text",
        b"+++\nversion = 1\n",
        b"+++\nversion = = 1\n+++\ntext",
        b"before\n" + draft(),
        draft().split(b"+++\n")[0] + b"+++\n+++\ntext",
        b"+++\n" + draft().split(b"+++\n")[1] + b"+++\n  \n",
        draft().replace(VERSION_LINE, b'version = "4"'),
        draft().replace(VERSION_LINE, b"version = 4.5"),
        draft().replace(VERSION_LINE, b"version = true"),
        draft().replace(VERSION_LINE, b"version = 3000000000"),
        draft().replace(b'language = "en"', b'language = "' + b"x" * 17 + b'"'),
        draft().replace(b'purpose = "verification"', b'purpose = "advertising"'),
        draft().replace(b'purpose = "verification"', b"purpose = []"),
        draft().replace(b'language = "en"', b""),
        draft().replace(b'language = "en"', b'language = ""'),
        draft().replace(b'\ntitle = "', b'\ntitle = "\\u200b"\nx = "'),
        draft().replace(b'\ntitle = "', b'\ntitle = "\\u202e'),
        b"+++\n" + draft().split(b"+++\n")[1] + "+++\n\u200b\u3164\n".encode(),
    ],
    ids=range(20),
)
def test_a_malformed_notice_is_refused(broken: bytes) -> None:
    assert notice_template.fill(draft(), facts_of(), version=1).header.version == NEXT_VERSION

    with pytest.raises(NoticeError):
        notice_template.fill(broken, facts_of(), version=1)


def test_a_notice_too_long_for_a_receipt_is_refused(service: RunningService) -> None:
    long = draft(version=9).replace(b'\ntitle = "', b'\ntitle = "' + b"x" * 50_000)

    with pytest.raises(NoticeError, match="every receipt repeats it"):
        publish(service.vault, long, now=service.clock())
