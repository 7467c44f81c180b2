"""Export: one consistent ZIP, made in bounded memory and without a long transaction."""

import hashlib
import json
import os
import time
import tracemalloc
from uuid import UUID, uuid4

import pytest
from jsonschema import Draft202012Validator

from app.consent.tables import Grant
from app.faces.service import RunningEngine
from app.rights import access, export
from app.templates import store
from tests.rights.complete_person import complete_person, document, unzipped, vectors
from tests.rights.test_access import described_files, with_comparisons
from tests.support.service_fixture import Person, RunningService
from tests.support.toy_engine import toy_card

MB = 1_000_000
PHOTO_BYTES = 400_000
PHOTOS = 40


def with_photos(service: RunningService, person: Person) -> None:
    """Give a person many kept photos that do not compress."""
    consent = service.consent(person, None, "template_renewal")
    grant_id = UUID(consent["consent_id"])
    with service.vault.data.write() as session:
        grant = session.get(Grant, grant_id)
        assert grant is not None
        at = store.EnrolmentColumns(grant, uuid4(), uuid4(), service.clock().date(), 1)
        store.put_photos(session, service.vault, at, (os.urandom(PHOTO_BYTES) for _ in range(PHOTOS)))


def request_of(service: RunningService, person: Person) -> access.AccessRequest:
    """Return a request for access that bypasses HTTP."""
    engine = RunningEngine(pool=service.pool, card=toy_card(), target_fmr=1e-3, threshold=0.54)
    now = service.clock()
    return access.AccessRequest(
        vault=service.vault, settings=service.settings, engine=engine, subject_id=UUID(person.subject_id), now=now
    )


def test_the_files_are_those_of_the_document(service: RunningService) -> None:
    whole = complete_person(service)
    files = unzipped(whole.person("GET", "/v1/me/export").content)
    found = json.loads(files["mien.json"])

    assert set(files) == {"index.html", "mien.json", "mien.schema.json", *described_files(found)}
    assert len(described_files(found)) == 3 + len(found["data"]["receipts"]) == 3 + 5
    for table in ("photos", "templates", "receipts"):
        for row in found["data"][table]:
            content = files[row["content"]["file"]]
            assert row["content"]["bytes"] == len(content)
            assert row["content"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_exported_document_is_valid_by_the_exported_schema(service: RunningService) -> None:
    files = unzipped(complete_person(service).person("GET", "/v1/me/export").content)
    schema = json.loads(files["mien.schema.json"])

    Draft202012Validator(schema).validate(json.loads(files["mien.json"]))
    assert schema == service.client.get("/v1/schemas/access").json()


def test_the_exported_document_is_that_of_access(service: RunningService) -> None:
    whole = complete_person(service)
    apart = document(whole.person)
    inside = json.loads(unzipped(whole.person("GET", "/v1/me/export").content)["mien.json"])
    for one in (apart, inside):
        one.pop("made_at")
        one["data"].pop("access_counts")

    assert inside == apart


def test_vector_is_the_opened_template(service: RunningService) -> None:
    whole = complete_person(service)
    files = unzipped(whole.person("GET", "/v1/me/export").content)
    ((template_id, vector),) = vectors(service, whole.person.subject_id).items()
    given = json.loads(files[f"templates/{template_id}.json"])

    assert tuple(given["vector"]) == vector
    assert (given["engine"], given["weights_sha256"]) == ("toy", toy_card().weights_sha256)
    assert "likeness" in given["warning"]


def test_answer_is_a_zip_to_save(service: RunningService) -> None:
    answer = service.person()("GET", "/v1/me/export")

    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="mien-')


@pytest.mark.parametrize("answer", [access.document, export.archive])
def test_memory_is_bounded_for_any_amount_of_data(service: RunningService, answer: object) -> None:
    person = service.person()
    with_comparisons(service, person, 1_500)
    with_photos(service, person)
    write = access.document if answer is access.document else export.archive
    sum(len(piece) for piece in write(request_of(service, service.person())))  # fills the caches

    tracemalloc.start()
    whole = sum(len(piece) for piece in write(request_of(service, person)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert whole > (PHOTOS * PHOTO_BYTES if answer is export.archive else MB / 2)
    assert peak < 10 * MB, f"{peak / MB:.1f} MB for {whole / MB:.1f} MB"


@pytest.mark.parametrize("answer", [access.document, export.archive])
def test_no_transaction_is_open_between_two_pieces(service: RunningService, answer: object) -> None:
    person = service.person()
    with_comparisons(service, person, 500)
    with_photos(service, person)
    write = access.document if answer is access.document else export.archive
    open_then = [service.vault.data.open_transactions() for _ in write(request_of(service, person))]

    assert len(open_then) > 2
    assert not any(open_then)


def test_a_slow_reader_delays_no_checkpoint(service: RunningService) -> None:
    person = service.person()
    with_photos(service, person)
    token = {"Authorization": f"Bearer {person.token}"}
    with service.client.stream("GET", "/v1/me/export", headers=token) as slow:
        pieces = slow.iter_raw(1024)
        first = next(pieces)
        # The service writes until the connection is full, and then waits for the reader.
        open_then = (1, 1)
        until = time.monotonic() + 120
        while any(open_then) and time.monotonic() < until:
            time.sleep(0.02)
            open_then = service.vault.data.open_transactions(), service.vault.register.store.open_transactions()
        checkpoint = service.vault.checkpoint_all()
        rest = b"".join(pieces)

    assert open_then == (0, 0)
    assert checkpoint, "the write-ahead logs can be emptied meanwhile"
    assert len(unzipped(first + rest)) == 3 + PHOTOS + len(person("GET", "/v1/me/receipts").json()["items"])
