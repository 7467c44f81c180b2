"""The receipt of an erasure agrees with the person's document and the bytes left in the stores."""

import base64
import json
from typing import Any
from uuid import UUID

from app.vault.register import Owner
from tests.support.byte_scan import Needles
from tests.support.service_fixture import RunningService


def content_of(receipt: dict[str, Any]) -> dict[str, Any]:
    """Return the signed content of a receipt."""
    payload = receipt["jws"].split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def test_an_erasure_counts_the_rows_in_the_persons_document(service: RunningService) -> None:
    person, _, _ = service.enrolled(face=1)
    person("PATCH", "/v1/me", json={"display_name": "Ada"}).raise_for_status()
    shown = sum(map(len, person("GET", "/v1/me/access").json()["data"].values()))
    stores = content_of(person("DELETE", "/v1/me").json()["receipt"])["stores"]

    assert [(one["store"], one["before"], one["after"]) for one in stores] == [
        ("mien.db", shown, 0),
        ("register.db", 2, 0),
    ]


def test_a_completed_erasure_has_no_link_to_the_register(service: RunningService) -> None:
    person, _, consent = service.enrolled(face=1)
    erased = person("DELETE", "/v1/me").json()
    digests = Needles()
    for owner in (Owner.subject(UUID(person.subject_id)), Owner.grant(UUID(consent["consent_id"]))):
        digests.text("digest", owner.digest.hex())
    data = [(path, content) for path, content in service.files() if path.is_relative_to(service.root / "data")]

    assert erased["status"] == "completed"
    assert data
    assert digests.found(data) == []
