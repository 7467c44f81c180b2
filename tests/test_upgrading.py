"""Recorded databases of earlier versions migrate to this one, and their subjects find everything again.

`tests/releases/` has them as SQL, recorded by the code of that version: see `tests/releases/record.py`. The keys of the
recording of 0.1.0 are wrapped as later versions do it, because this version cannot read the wrapping of 0.1.0.
"""

import base64
import dataclasses
import io
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from app.db.types import Row
from app.faces import vectors
from app.startup import Run, prepare
from app.vault.open import check, open_vault
from app.vault.tables import RegisterRow
from tests.releases.record import DATABASES
from tests.support.byte_scan import rows
from tests.support.service_fixture import (
    MovableClock,
    Party,
    Person,
    RunningService,
    SharedPool,
    enrol,
    serving,
    settings_for,
)
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

RECORDED = Path(__file__).parent / "releases"
RELEASES = sorted(path.name for path in RECORDED.iterdir() if (path / "story.json").exists())

ENGINE_OF_THEN = (vectors.UNLABELLED_ENGINE, vectors.UNLABELLED_WEIGHTS)


@dataclass
class Upgraded:
    """A service on recorded databases, and the secrets of its callers."""

    service: RunningService
    story: dict[str, Any]

    def person(self, number: int) -> Person:
        """Return a subject who was not erased."""
        known = self.story["people"][number]
        return Person(self.service.client, known["subject_id"], known["token"], known["recovery_code"])

    def party(self, number: int) -> Party:
        """Return one of the relying parties."""
        known = self.story["parties"][number]
        return Party(self.service.client, known["id"], known["key"])


def create_databases(release: str, root: Path) -> dict[str, Any]:
    """Create the databases of *release* in *root*. Returns the secrets of its callers."""
    recorded = RECORDED / release
    for directory, name in DATABASES:
        (root / directory).mkdir(mode=0o700, parents=True)
        with closing(sqlite3.connect(root / directory / f"{name}.db")) as connection:
            connection.executescript((recorded / f"{name}.sql").read_text("utf-8"))
    with closing(sqlite3.connect(root / "data" / "mien.db")) as connection, connection:
        # Recorded with the toy engine, as if it were the only engine of that version.
        connection.execute("UPDATE templates SET engine_id = ?, weights_sha256 = ?", ENGINE_OF_THEN)
    shutil.copy(recorded / "kek", root / "keys" / "kek")
    (root / "keys" / "kek").chmod(0o600)
    story: dict[str, Any] = json.loads((recorded / "story.json").read_text("utf-8"))
    return story


@contextmanager
def upgraded(release: str, root: Path, pool: SharedPool) -> Iterator[Upgraded]:
    story = create_databases(release, root)
    vault = open_vault(settings_for(root))
    prepare(vault, settings_for(root), Run.MIGRATE)
    check(vault)
    vault.close()
    ((day,),) = rows(root / "data" / "mien.db", "SELECT max(registered_on) FROM subjects")
    clock = MovableClock()
    # On the day of the recording: its consents may have expired since.
    clock.moved = datetime.fromisoformat(day).replace(tzinfo=UTC, hour=12) - datetime.now(UTC)
    card = dataclasses.replace(toy_card(), id=ENGINE_OF_THEN[0], weights_sha256=ENGINE_OF_THEN[1])
    with serving(root, pool, card, clock=clock) as service:
        yield Upgraded(service, story)


@pytest.fixture(params=RELEASES)
def then(request: pytest.FixtureRequest, tmp_path: Path, pool: SharedPool) -> Iterator[Upgraded]:
    """Serve the databases of a release."""
    with upgraded(request.param, tmp_path / "service", pool) as running:
        yield running


def test_there_is_a_recording() -> None:
    assert "0.1.0" in RELEASES


@pytest.mark.service
@pytest.mark.parametrize("release", RELEASES)
def test_migrated_schema_matches_the_models(release: str, tmp_path: Path) -> None:
    create_databases(release, tmp_path)
    vault = open_vault(settings_for(tmp_path))
    prepare(vault, settings_for(tmp_path), Run.MIGRATE)
    found = []
    for store, metadata in ((vault.data, Row.metadata), (vault.register.store, RegisterRow.metadata)):
        with store.read() as session:
            found += compare_metadata(MigrationContext.configure(session.connection()), metadata)
        found += rows(in_file(store).path, "PRAGMA foreign_key_check")
        found += [row for row in rows(in_file(store).path, "PRAGMA integrity_check") if row != ("ok",)]
    check(vault)

    assert found == []


@pytest.mark.service
@pytest.mark.parametrize("release", RELEASES)
def test_no_row_is_lost(release: str, tmp_path: Path) -> None:
    def counts() -> dict[str, int]:
        database = tmp_path / "data" / "mien.db"
        names = [row[0] for row in rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: rows(database, f'SELECT count(*) FROM "{name}"')[0][0] for name in names}  # noqa: S608 - of the schema

    create_databases(release, tmp_path)
    before = counts()
    settings = settings_for(tmp_path)
    prepare(open_vault(settings), settings, Run.MIGRATE)
    after = counts()

    assert {name: after.get(name) for name in before} == before
    assert all(before[name] for name in ("subjects", "grants", "templates", "photos", "consent_events", "comparisons"))


def test_subject_is_verified_as_before(then: Upgraded) -> None:
    ada, door = then.person(0), then.party(0)
    reference = then.story["consents"][0]["subject_ref"]
    decisions = [door.verify(reference, toy_photo(face)).json().get("decision") for face in (1, 2)]

    assert ada("GET", "/v1/me").json()["display_name"] == "Ada Canary"
    assert ada("GET", "/v1/me").json()["restricted"] is False
    assert decisions == ["match", "no_match"]
    assert len(ada("GET", "/v1/me/comparisons").json()["items"]) == 3


def test_old_rows_open_in_the_export(then: Upgraded) -> None:
    ada = then.person(0)
    with zipfile.ZipFile(io.BytesIO(ada("GET", "/v1/me/export").content)) as archive:
        names, document = archive.namelist(), json.loads(archive.read("mien.json"))

    assert sum(name.startswith("photos/") for name in names) == 2
    assert sum(name.startswith("templates/") for name in names) == 2
    assert {grant["consent_id"] for grant in document["purposes"]} == {
        one["consent_id"] for one in then.story["consents"]
    }
    assert document["proofs"] == [], "the day of an old consent is sealed, so it has no proof"


def test_ended_consents_and_subjects_stay_ended(then: Upgraded) -> None:
    withdrawn, erased = then.story["withdrawn"], then.story["erased"]
    client = then.service.client
    gone = Person(client, erased["subject_id"], erased["token"], erased["recovery_code"])
    erasure = client.get(f"/v1/erasures/{then.story['erasure']['erasure_id']}").json()

    assert then.party(0).verify(withdrawn["subject_ref"], toy_photo(2)).status_code == 404
    assert gone("GET", "/v1/me").status_code == 401
    assert (erasure["status"], erasure["step"]) == ("completed", "completed")


def test_rights_can_be_exercised(then: Upgraded) -> None:
    ada, door = then.person(0), then.party(0)
    consent = then.story["consents"][0]
    again = enrol(ada, [consent["consent_id"]], [toy_photo(1), toy_photo(1, variant=2)])
    ended = ada("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()["state"]
    after = door.verify(consent["subject_ref"], toy_photo(1)).status_code
    erased = ada("DELETE", "/v1/me").json()["status"]

    assert (again.status_code, ended, after, erased) == (201, "withdrawn", 404, "completed")


def test_transparency_log_has_acts_since_the_upgrade(then: Upgraded) -> None:
    ada, door, consent = then.person(0), then.party(0), then.story["consents"][0]
    old = ada("GET", "/v1/me/receipts").json()["items"]
    compared = door.verify(consent["subject_ref"], toy_photo(1)).json()["comparison_id"]
    ended = ada("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()["receipt"]
    new = ada("GET", "/v1/me/receipts").json()["items"]
    entries = [row[0] for row in rows(in_file(then.service.vault.data).path, "SELECT id FROM entries")]
    erasure = then.service.client.get(f"/v1/erasures/{then.story['erasure']['erasure_id']}").json()

    assert (old, erasure["receipt"]) == ([], None), "earlier acts have no receipt"
    assert [(one["kind"], one["receipt"]["leaf"]) for one in new] == [("consent_withdrawn", ended["leaf"])]
    assert entries == [compared.replace("-", "")]


@pytest.mark.parametrize(("subject_id", "step"), [("ada", "intent"), (None, "deleted")])
def test_erasure_in_progress_is_finished(tmp_path: Path, pool: SharedPool, subject_id: str | None, step: str) -> None:
    """0.1.0 stored the step of an erasure in another way."""
    story = create_databases("0.1.0", tmp_path)
    whose = story["people"][0]["subject_id"].replace("-", "") if subject_id else None
    with closing(sqlite3.connect(tmp_path / "data" / "mien.db")) as connection, connection:
        connection.execute(
            "INSERT INTO erasures VALUES (?, ?, 'in_progress', 0, '2026-11-23', NULL)", ("e" * 32, whose)
        )
        connection.execute("UPDATE subjects SET erasing = 1 WHERE id = ?", (whose,))
    settings = settings_for(tmp_path)
    prepare(open_vault(settings), settings, Run.MIGRATE)
    ((migrated,),) = rows(tmp_path / "data" / "mien.db", "SELECT step FROM erasures WHERE id = ?", "e" * 32)
    with serving(tmp_path, pool, toy_card(), sweep_interval_s=0.05) as service:
        state = {}
        for _ in range(100):
            state = service.client.get(f"/v1/erasures/{'e' * 32}").json()
            if state["status"] == "completed":
                break

    said = json.loads(base64.urlsafe_b64decode(state["receipt"]["jws"].split(".")[1] + "=="))
    stores = {one["store"]: (one["before"] > 0, one["after"]) for one in said["stores"]}

    assert (migrated, state["status"]) == (step, "completed")
    # An older version did not count rows before it deleted them.
    assert stores == {"mien.db": (step == "intent", 0), "register.db": (step == "intent", 0)}
