"""A person with data in every table, and the values that must be found for them."""

import io
import json
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.callbacks.delivery_worker import DeliveryWorker
from app.callbacks.http_client import CallResult, Outcome
from app.callbacks.registration import set_callback
from app.db.data_map import Kind
from app.db.types import Row
from app.rights import personal_data
from app.templates import store
from app.templates.tables import Template
from tests.support.byte_scan import Needles
from tests.support.service_fixture import Party, Person, RunningService, enrol
from tests.support.sqlite_stores import in_file
from tests.support.toy_faces import toy_photo

IN_NO_ANSWERABLE_PERSON = {"erasures"}
"""Tables with rows only for erased people, who have no access left."""


@dataclass
class CompletePerson:
    """A person with a row in every table."""

    person: Person
    party: Party
    subject_ref: str
    name: str


def complete_person(
    service: RunningService, *, face: int = 1, name: str = "Ada Canary", door: str = "Door"
) -> CompletePerson:
    """Register a person and let them do every act that stores data."""
    person, party, former = service.person(name), service.party(door), service.party(f"Former {door}")
    consent = service.consent(person, party)
    gone = service.consent(person, former)
    service.consent(person, None, "template_renewal")
    photos = [toy_photo(face), toy_photo(face, variant=2)]
    answer = enrol(person, [consent["consent_id"], gone["consent_id"]], photos, keep_photos="true")
    assert answer.status_code == 201, answer.text
    set_callback(service.vault, party_id=UUID(former.id), to="https://127.0.0.1/", private=True, now=service.clock())
    compared = former.verify(gone["subject_ref"], photos[0]).json()["comparison_id"]
    assert person("DELETE", f"/v1/me/consents/{gone['consent_id']}").status_code == 200
    disputed = person("PUT", f"/v1/me/comparisons/{compared}/dispute", json={"note": "abroad that day"})
    assert disputed.status_code == 200, disputed.text
    assert person("POST", "/v1/me/tokens").status_code == 201
    for shown in (face, face + 1):
        data, files = {"subject_ref": consent["subject_ref"]}, {"probe": toy_photo(shown)}
        headers = {"Idempotency-Key": f"{name} {shown}".replace(" ", "-")}
        assert party("POST", "/v1/verifications", data=data, files=files, headers=headers).status_code == 200
    assert person("GET", "/v1/me/access").status_code == 200
    _fail_a_delivery(service)
    return CompletePerson(person, party, consent["subject_ref"], name)


def deliver_all_messages(service: RunningService) -> None:
    """Acknowledge all pending messages for every relying party."""
    answer = CallResult(Outcome.ACKNOWLEDGED, "204")
    report = DeliveryWorker(service.vault, lambda _to, _message: answer, days=7, clock=service.clock).run_once(
        within_s=15
    )
    assert report.messages_pending == 0


def _fail_a_delivery(service: RunningService) -> None:
    """Let the first delivery to the former party fail."""
    answer = CallResult(Outcome.UNREACHABLE, "refused")
    DeliveryWorker(service.vault, lambda _to, _message: answer, days=7, clock=service.clock).run_once(within_s=15)


def read_rows(service: RunningService, subject_id: str) -> dict[str, list[dict[str, Any]]]:
    """Read a person's rows directly from the database."""
    found = {}
    with closing(sqlite3.connect(in_file(service.vault.data).path)) as connection:
        connection.row_factory = sqlite3.Row
        for table in personal_data.tables():
            owner = "id" if table.name == "subjects" else "subject_id"
            query = f"SELECT * FROM {table.name} WHERE {owner} = ?"  # noqa: S608 - names of our own
            found[table.name] = [dict(row) for row in connection.execute(query, [UUID(subject_id).hex])]
    return found


def as_in_document(column: Any, value: Any) -> Any:
    """Return a stored value as the document shows it."""
    python = column.type.python_type
    if value is None or issubclass(python, StrEnum):
        return value
    if python is UUID:
        return str(UUID(value))
    if python is datetime:
        return f"{datetime.fromisoformat(value).isoformat()}+00:00"
    if python is date:
        return date.fromisoformat(value).isoformat()
    return python(value)


def plain_columns(table: Any) -> list[Any]:
    """Return the columns that are stored as they are and not a credential."""
    return [c for c in table.columns if "seal" not in c.info and c.info["kind"] is not Kind.CREDENTIAL]


def vectors(service: RunningService, subject_id: str) -> dict[str, tuple[float, ...]]:
    """Open the person's templates."""
    with service.vault.data.read() as session:
        rows = session.scalars(select(Template).where(Template.subject_id == UUID(subject_id))).all()
    return {
        str(row.id): store.open_template(
            service.vault.register,
            store.SealedTemplate(*(getattr(row, name) for name in store.SealedTemplate._fields)),
        ).vector
        for row in rows
    }


def photos(person: Person) -> dict[str, bytes]:
    """Fetch the person's photos by id."""
    enrolments = person("GET", "/v1/me/enrolments").json()["items"]
    ids = [photo_id for one in enrolments for photo_id in photo_ids(one)]
    assert ids
    return {one: person("GET", f"/v1/me/photos/{one}").content for one in ids}


def photo_ids(enrolment: dict[str, Any]) -> list[str]:
    """Return the ids of an enrolment's photos, however they are listed."""
    return [
        one["photo_id"] if isinstance(one, dict) else one
        for one in enrolment.get("photos", enrolment.get("photo_ids", []))
    ]


def unzipped(content: bytes) -> dict[str, bytes]:
    """Return the files of a ZIP, each checked against its CRC."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def canaries(service: RunningService, whole: CompletePerson) -> Needles:
    """Return the values that only this person has: name, reference, credentials, random ids, vectors."""
    needles = Needles().text("name", whole.name).text("subject_ref", whole.subject_ref)
    needles.text("token", whole.person.token).text("recovery code", whole.person.recovery_code)
    for table, rows in read_rows(service, whole.person.subject_id).items():
        columns = [c for c in Row.metadata.tables[table].columns if c.type.python_type is UUID]
        for column in columns:
            if column.name != "relying_party_id":
                for row in (one for one in rows if one[column.name]):
                    needles.id(f"{table}.{column.name}", UUID(row[column.name]))
    for one, vector in vectors(service, whole.person.subject_id).items():
        needles.vector(f"template {one}", vector)
    return needles


def document(person: Person) -> dict[str, Any]:
    """Ask for access."""
    answer = person("GET", "/v1/me/access")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.content)
    return found
