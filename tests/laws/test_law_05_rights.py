"""Law 5: rights have no limits and never wait behind matching; every column is classified, and erasure follows it."""

import io
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table

import app.main
from app.db.data_map import IMPERSONAL, Kind
from app.db.types import Row
from app.faces.workers.pool import EnginePool
from app.settings import MIB
from app.vault.tables import RegisterRow
from tests.comparisons.failures import unhindered
from tests.support import toy_engine
from tests.support.byte_scan import SEALED, rows
from tests.support.service_fixture import WORKERS, Party, Person, RunningService, SharedPool, enrol, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until

assert app.main.ROUTERS, "every table is known once the application is"

STORES = {"mien": Row.metadata, "register": RegisterRow.metadata}


def unclassified(metadata: MetaData) -> list[str]:
    """Return the columns without a kind of data."""
    return [
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if not isinstance(column.info.get("kind"), Kind)
    ]


@pytest.mark.parametrize("store", STORES)
def test_every_column_is_classified(store: str) -> None:
    assert unclassified(STORES[store]) == []
    assert STORES[store].tables


def test_column_without_a_kind_is_found() -> None:
    sample = MetaData()
    Table(
        "sample", sample, Column("id", Integer, info=IMPERSONAL), Column("mood", Integer), Column("x", info={"kind": 1})
    )

    assert unclassified(sample) == ["sample.mood", "sample.x"]


def test_every_database_has_the_tables_that_are_classified_and_no_other(service: RunningService) -> None:
    """A table that only a migration makes would be missing in the data map."""
    paths = {"mien": in_file(service.vault.data).path, "register": in_file(service.vault.register.store).path}
    for store, path in paths.items():
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        there = {row[0] for row in rows(path, query)} - {"alembic_version"}

        assert there == set(STORES[store].tables)


def test_sealed_columns_are_those_that_the_byte_tests_open() -> None:
    sealed = {
        (table.name, column.name)
        for table in Row.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, LargeBinary) and column.info["kind"] in {Kind.PERSONAL, Kind.BIOMETRIC}
    }

    assert sealed == set(SEALED.items())


# --- Erasure follows the data map


def held(service: RunningService) -> dict[tuple[str, str], list[object]]:
    """Read every value of every personal, biometric or credential column of both databases, without the ORM."""
    kinds = {Kind.PERSONAL, Kind.BIOMETRIC, Kind.CREDENTIAL}
    found: dict[tuple[str, str], list[object]] = {}
    for path, metadata in (
        (in_file(service.vault.data).path, Row.metadata),
        (in_file(service.vault.register.store).path, RegisterRow.metadata),
    ):
        for table in metadata.sorted_tables:
            for column in table.columns:
                if column.info["kind"] in kinds:
                    query = f"SELECT {column.name} FROM {table.name} WHERE {column.name} IS NOT NULL"  # noqa: S608 - from the models
                    values = [row[0] for row in rows(path, query)]
                    # A destroyed key is replaced by zeros.
                    found[table.name, column.name] = [one for one in values if not isinstance(one, bytes) or any(one)]
    return found


def test_after_erasure_no_column_has_data_of_the_person(service: RunningService) -> None:
    """A person with data in every column that can have some, before and after their erasure."""
    empty = held(service)
    person, party, given = service.enrolled(face=1)
    service.consent(person, None, "template_renewal")
    enrol(person, [given["consent_id"]], [toy_photo(1)], keep_photos="true")
    party.verify(given["subject_ref"], toy_photo(1))
    person("POST", "/v1/me/tokens")
    full = held(service)
    shared = {str(value) for values in empty.values() for value in values}
    shared |= {party.id, UUID(party.id).hex, given["notice_sha256"], service.notice("template_renewal")}

    erased = person("DELETE", "/v1/me").json()
    after = held(service)
    telling = {
        str(value)
        for (table, _), values in full.items()
        for value in values
        # A leaf without its salt is no personal data: `tests/transparency`.
        if len(str(value)) >= 16
        and table not in {"relying_parties", "party_keys", "party_purposes", "origin", "pending_leaves"}
    } - shared
    left = {where: value for where, values in after.items() for value in values if str(value) in telling}

    assert erased["status"] == "completed"
    assert not left
    assert len(telling) > 20
    owned = {where for where, values in full.items() if len(values) > len(empty[where])}
    assert {table for table, _ in owned} >= {
        "subjects",
        "tokens",
        "grants",
        "templates",
        "photos",
        "comparisons",
        "keys",
    }
    others = {"party_keys", "party_purposes", "relying_parties", "pending_leaves"}
    # The transparency log's own keys belong to no person.
    assert not {where for where in owned if where[0] not in others and after[where] != empty[where]}


# --- Rights never wait behind matching


QUEUE = 4
"""Jobs that the engine of these tests accepts at once."""


@pytest.fixture
def own_pool() -> Iterator[EnginePool]:
    """An engine pool of two workers that does not end a frozen worker."""
    pool = EnginePool(
        engine=toy_engine.SPEC,
        card=toy_engine.toy_card(),
        workers=WORKERS,
        queue=QUEUE,
        timeout_s=3600,
        memory_bytes=1024 * MIB,
    )
    pool.start()
    yield pool
    pool.close()


@contextmanager
def full_engine(pool: EnginePool, party: Party, ref: str) -> Iterator[list[int]]:
    """Freeze the workers and fill the queue. Yields the statuses of the requests answered so far."""
    workers = [
        psutil.Process(supervisor._worker._process.pid)
        for supervisor in pool._supervisors
        if supervisor._worker is not None
    ]
    crowd, answered = WORKERS + QUEUE + 6, list[int]()

    def ask() -> None:
        answered.append(party.verify(ref, toy_photo(1)).status_code)

    for worker in workers:
        worker.suspend()
    with ThreadPoolExecutor(crowd) as threads:
        try:
            for _ in range(crowd):
                threads.submit(ask)
            wait_until(lambda: 503 in answered)
            yield answered
        finally:
            for worker in workers:
                worker.resume()


def test_rights_are_answered_while_the_engine_is_full(root: Path, own_pool: EnginePool) -> None:
    with serving(root, SharedPool(own_pool), toy_engine.toy_card()) as service:
        rights_beside_a_full_engine(service, own_pool)


def rights_beside_a_full_engine(service: RunningService, pool: EnginePool) -> None:
    unhindered(service)
    _, party, consent = service.enrolled(face=1)
    ben, _, bens_consent = service.enrolled(face=2, party=party)
    with full_engine(pool, party, consent["subject_ref"]) as answered:
        refused = [party.verify(bens_consent["subject_ref"], toy_photo(2)) for _ in range(5)]
        answers = [
            ben("GET", "/v1/me"),
            ben("GET", "/v1/me/comparisons"),
            ben("DELETE", f"/v1/me/consents/{bens_consent['consent_id']}"),
            ben("DELETE", "/v1/me"),
        ]
        meanwhile = answered.count(200)

    assert [answer.status_code for answer in answers] == [200] * 4
    busy = [answer for answer in refused if answer.status_code == 503]
    assert busy, [answer.text for answer in refused]
    assert {answer.json()["type"] for answer in busy} == {"urn:mien:problem:busy"}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in busy)
    assert meanwhile == 0, "the rights were answered before the queue"
    assert set(answered) == {200, 503}


def test_rights_are_not_refused_because_of_many_requests(service: RunningService) -> None:
    person, _, given = service.enrolled(face=1)
    paths = ("/v1/me", "/v1/me/consents", "/v1/me/comparisons", "/v1/me/enrolments")
    often = {person("GET", path).status_code for _ in range(60) for path in paths}
    withdrawn = {person("DELETE", f"/v1/me/consents/{given['consent_id']}").status_code for _ in range(20)}

    assert (often, withdrawn) == ({200}, {200})


# --- Nothing is held open while bytes are sent


def noisy_photo(person: int) -> bytes:
    """Return a photo that stays large when it is encoded again."""
    with Image.open(io.BytesIO(toy_photo(person, size=(1280, 960)))) as plain:
        pixels = np.asarray(plain.convert("RGB")).astype(np.int16)
    noise = np.random.default_rng(1).integers(-14, 15, size=(*pixels.shape[:2], 1))
    out = io.BytesIO()
    Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def test_no_transaction_is_open_while_a_large_answer_is_read_slowly(root: Path, pool: SharedPool) -> None:
    # Without background jobs, which open transactions of their own.
    with serving(root, pool, toy_engine.toy_card(), background=False) as service:
        read_a_large_answer_slowly(service)


def read_a_large_answer_slowly(service: RunningService) -> None:
    person, _, given = service.enrolled(face=1)
    service.consent(person, None, "template_renewal")
    enrolled = enrol(person, [given["consent_id"]], [noisy_photo(1)], keep_photos="true")
    assert enrolled.status_code == 201, enrolled.text
    (photo_id,) = person("GET", "/v1/me/enrolments").json()["items"][0]["photo_ids"]
    whole = person("GET", f"/v1/me/photos/{photo_id}").content
    address = urlsplit(str(service.client.base_url))
    head = ("Host: x", f"Authorization: Bearer {person.token}", "Connection: close", "", "")
    request = "\r\n".join([f"GET /v1/me/photos/{photo_id} HTTP/1.1", *head])
    seen: list[int] = []
    got = b""
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((address.hostname, address.port))
        slow.sendall(request.encode())
        while chunk := slow.recv(4096 if len(seen) < 10 else 1 << 20):
            got += chunk
            if len(seen) < 10:
                time.sleep(0.02)
                seen.append(service.vault.data.open_transactions() + service.vault.register.store.open_transactions())
        withdrawn = person("DELETE", f"/v1/me/consents/{given['consent_id']}").json()

    assert len(whole) > 200_000
    assert got.endswith(whole)
    assert seen == [0] * 10
    assert withdrawn["erased_from_disk"], "no reader blocked the write-ahead log"


def test_a_hundred_silent_connections_do_not_delay_rights(service: RunningService) -> None:
    person, _, _ = service.enrolled(face=1)
    address = urlsplit(str(service.client.base_url))
    idle = [socket.create_connection((str(address.hostname), int(address.port or 0))) for _ in range(100)]
    for one in idle:
        one.sendall(b"POST /v1/verifications HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n")
    # On a new connection: the service may have closed an idle one to make room.
    with httpx.Client(base_url=service.client.base_url) as fresh:
        answer = Person(fresh, person.subject_id, person.token, person.recovery_code)("GET", "/v1/me")
    for one in idle:
        one.close()

    assert answer.status_code == 200
