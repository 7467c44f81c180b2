"""Photos and bodies over their limit are refused in both framings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.consent.spies import everything
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

PATH = "/v1/me/enrolments"


def slug(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the slug of a problem."""
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


@pytest.fixture
def small_limits(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """Return a service with small limits."""
    limits: dict[str, Any] = {
        "max_photo_bytes": 2_000,
        "max_enrolment_bytes": 6_000,
        "max_body_bytes": 4_000,
        "max_json_bytes": 4_000,
    }
    with serving(root, pool, toy_card(), **limits) as service:
        yield service


def padded(size: int) -> bytes:
    """Return a photo of this many bytes."""
    photo = toy_photo(1)
    return photo + b"\0" * (size - len(photo))


def test_a_photo_over_its_limit_is_too_large(small_limits: RunningService) -> None:
    person, party = small_limits.person(), small_limits.party()
    consent = small_limits.consent(person, party)
    largest, over = padded(2_000), padded(2_001)

    answers = [
        enrol(person, [consent["consent_id"]], [largest]),
        party.verify(consent["subject_ref"], largest),
        enrol(person, [consent["consent_id"]], [over]),
        enrol(person, [consent["consent_id"]], [largest, over]),
        party.verify(consent["subject_ref"], over),
        party.verify("unknown", over),
    ]

    assert [answer.status_code for answer in answers] == [201, 200, 413, 413, 413, 413]
    for answer in answers[2:]:
        assert slug(answer) == (413, "too-large")
        assert answer.headers["content-type"] == "application/problem+json"
    assert answers[4].content == answers[5].content


def _multipart(fields: dict[str, str], name: str, photos: list[bytes]) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="%s"'
    parts = [head % key.encode() + b"\r\n\r\n" + value.encode() for key, value in fields.items()]
    parts += [head % name.encode() + b'; filename="p"\r\n\r\n' + photo for photo in photos]
    return b"\r\n".join([*parts, b"--x--\r\n"])


def test_a_body_over_its_limit_is_too_large_in_both_framings(small_limits: RunningService) -> None:
    person, party = small_limits.person(), small_limits.party()
    consent = small_limits.consent(person, party)

    def send(caller: Person | Party, path: str, body: bytes, kind: str, *, chunked: bool) -> httpx.Response:
        token = caller.token if isinstance(caller, Person) else caller.key
        pieces = (body[at : at + 1000] for at in range(0, len(body), 1000))
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        return small_limits.client.post(path, content=pieces if chunked else body, headers=headers)

    form = "multipart/form-data; boundary=x"
    for chunked in (False, True):
        fits = _multipart({"consent_id": consent["consent_id"]}, "photos", [padded(1_800)] * 3)
        over = _multipart({"consent_id": consent["consent_id"]}, "photos", [padded(2_000)] * 3)
        probe = _multipart({"subject_ref": consent["subject_ref"]}, "probe", [padded(1_900), padded(2_000)])

        assert send(person, PATH, fits, form, chunked=chunked).status_code == 201
        before = everything(small_limits.vault)
        assert slug(send(person, PATH, over, form, chunked=chunked)) == (413, "too-large")
        assert slug(send(party, "/v1/verifications", probe, form, chunked=chunked)) == (413, "too-large")
        json = b'{"purpose": "' + b"x" * 4_000 + b'"}'
        assert slug(send(person, "/v1/me/consents", json, "application/json", chunked=chunked)) == (413, "too-large")
        assert everything(small_limits.vault) == before
