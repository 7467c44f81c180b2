"""A template of an older or a newer version, as a row of a running service."""

import json
import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.faces import vectors
from app.templates.tables import Template
from app.vault.register import Owner
from app.vault.sealing_context import sealing_context
from tests.consent.spies import change_row
from tests.rights.complete_person import unzipped
from tests.support.service_fixture import RunningService, enrol
from tests.support.toy_faces import toy_photo

pytestmark = pytest.mark.service


def rewrite(service: RunningService, consent_id: str, change: Callable[[bytes], bytes]) -> None:
    """Replace the content of a template by a changed one, sealed under the same key for the same row."""
    with service.vault.data.read() as session:
        row = session.scalars(select(Template).where(Template.grant_id == UUID(consent_id))).one()
    key = service.vault.register.key(Owner.grant(row.grant_id), row.key_generation)
    context = sealing_context(Template.sealed, row.id)
    sealed = key.seal(change(key.open(row.sealed, context)), context)
    change_row(service.vault, "UPDATE templates SET sealed = :sealed WHERE id = :id", sealed=sealed, id=row.id.hex)


def as_version_0_2(content: bytes) -> bytes:
    """Encode a template as version 0.2.0 did: the label and 64-bit numbers."""
    found = vectors.unpack(content)
    return bytes.fromhex(found.weights_sha256) + struct.pack(f"<{len(found.vector)}d", *found.vector)


def as_newer_version(content: bytes) -> bytes:
    return content[:32] + b"\x02" + content[33:]


def exported(person: Any) -> dict[str, Any]:
    files = unzipped(person("GET", "/v1/me/export").content)
    (template,) = [json.loads(content) for name, content in files.items() if name.startswith("templates/")]
    return dict(template)


def test_an_older_template_is_compared_and_exported_until_the_next_enrolment(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    new = exported(person)
    rewrite(service, consent["consent_id"], as_version_0_2)
    old = exported(person)
    decisions = [party.verify(consent["subject_ref"], toy_photo(face)).json()["decision"] for face in (1, 2)]
    again = enrol(person, [consent["consent_id"]], [toy_photo(1)])

    assert decisions == ["match", "no_match"]
    assert (new["form"], old["form"], old["scale"]) == ("int8", "float64", None)
    assert old["vector"] == new["vector"]
    assert all(round(number / new["scale"]) * new["scale"] == number for number in new["vector"])
    assert again.status_code == 201
    assert exported(person)["form"] == "int8"


def test_a_newer_template_is_refused_as_every_unusable_reference_is(service: RunningService) -> None:
    _, party, consent = service.enrolled(face=1)
    unknown = party.verify("unknown", toy_photo(1))
    rewrite(service, consent["consent_id"], as_newer_version)
    newer = party.verify(consent["subject_ref"], toy_photo(1))

    assert (newer.status_code, newer.content) == (404, unknown.content)
