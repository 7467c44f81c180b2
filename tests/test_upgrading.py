"""The databases that each released version left migrate to this one, and the people in them find everything again.

`tests/releases/` has them as SQL, recorded by the code of that version: see `tests/releases/record.py`.
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
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

RECORDED = Path(__file__).parent / "releases"
RELEASES = sorted(path.name for path in RECORDED.iterdir() if (path / "story.json").exists())

ENGINE_OF_THEN = (vectors.UNLABELLED_ENGINE, vectors.UNLABELLED_WEIGHTS)


@dataclass
class Upgraded:
    """A service on what a released version left, and what its people remember."""

    service: RunningService
    story: dict[str, Any]

    def person(self, number: int) -> Person:
        """Return one who stayed."""
        known = self.story["people"][number]
        return Person(self.service.client, known["subject_id"], known["token"], known["recovery_code"])

    def party(self, number: int) -> Party:
        """Return one of the relying parties."""
        known = self.story["parties"][number]
        return Party(self.service.client, known["id"], known["key"])


def laid_out(release: str, root: Path) -> dict[str, Any]:
    """Make the databases of *release* in *root*, and return what its people remember."""
    recorded = RECORDED / release
    for directory, name in DATABASES:
        (root / directory).mkdir(mode=0o700, parents=True)
        with closing(sqlite3.connect(root / directory / f"{name}.db")) as connection:
            connection.executescript((recorded / f"{name}.sql").read_text("utf-8"))
    with closing(sqlite3.connect(root / "data" / "mien.db")) as connection, connection:
        # Recorded with the toy, as if it were the one engine that there was then.
        connection.execute("UPDATE templates SET engine_id = ?, weights_sha256 = ?", ENGINE_OF_THEN)
    shutil.copy(recorded / "kek", root / "keys" / "kek")
    (root / "keys" / "kek").chmod(0o600)
    story: dict[str, Any] = json.loads((recorded / "story.json").read_text("utf-8"))
    return story


@contextmanager
def upgraded(release: str, root: Path, pool: SharedPool) -> Iterator[Upgraded]:
    story = laid_out(release, root)
    vault = open_vault(settings_for(root))
    prepare(vault, settings_for(root), Run.MIGRATE)
    check(vault)
    vault.data.close()
    vault.register.store.close()
    ((day,),) = rows(root / "data" / "mien.db", "SELECT max(registered_on) FROM subjects")
    clock = MovableClock()
    # As if it were the day of the recording: by now its consents may have expired.
    clock.moved = datetime.fromisoformat(day).replace(tzinfo=UTC, hour=12) - datetime.now(UTC)
    card = dataclasses.replace(toy_card(), id=ENGINE_OF_THEN[0], weights_sha256=ENGINE_OF_THEN[1])
    with serving(root, pool, card, clock=clock) as service:
        yield Upgraded(service, story)


@pytest.fixture(params=RELEASES)
def then(request: pytest.FixtureRequest, tmp_path: Path, pool: SharedPool) -> Iterator[Upgraded]:
    """Serve what a release left."""
    with upgraded(request.param, tmp_path / "service", pool) as running:
        yield running


def test_there_is_a_recording() -> None:
    assert "0.1.0" in RELEASES


@pytest.mark.service
@pytest.mark.parametrize("release", RELEASES)
def test_schema_becomes_what_the_models_say(release: str, tmp_path: Path) -> None:
    laid_out(release, tmp_path)
    vault = open_vault(settings_for(tmp_path))
    prepare(vault, settings_for(tmp_path), Run.MIGRATE)
    found = []
    for store, metadata in ((vault.data, Row.metadata), (vault.register.store, RegisterRow.metadata)):
        with store.read() as session:
            found += compare_metadata(MigrationContext.configure(session.connection()), metadata)
        found += rows(store.path, "PRAGMA foreign_key_check")
        found += [row for row in rows(store.path, "PRAGMA integrity_check") if row != ("ok",)]
    check(vault)

    assert found == []


@pytest.mark.service
@pytest.mark.parametrize("release", RELEASES)
def test_no_row_is_lost(release: str, tmp_path: Path) -> None:
    def counts() -> dict[str, int]:
        database = tmp_path / "data" / "mien.db"
        names = [row[0] for row in rows(database, "SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: rows(database, f'SELECT count(*) FROM "{name}"')[0][0] for name in names}  # noqa: S608 - of the schema

    laid_out(release, tmp_path)
    before = counts()
    settings = settings_for(tmp_path)
    prepare(open_vault(settings), settings, Run.MIGRATE)
    after = counts()

    assert {name: after.get(name) for name in before} == before
    assert all(before[name] for name in ("subjects", "grants", "templates", "photos", "consent_events", "comparisons"))


def test_person_is_known_and_verified_as_before(then: Upgraded) -> None:
    ada, door = then.person(0), then.party(0)
    reference = then.story["consents"][0]["subject_ref"]
    decisions = [door.verify(reference, toy_photo(face)).json().get("decision") for face in (1, 2)]

    assert ada("GET", "/v1/me").json()["display_name"] == "Ada Canary"
    assert ada("GET", "/v1/me").json()["restricted"] is False
    assert decisions == ["match", "no_match"]
    assert len(ada("GET", "/v1/me/comparisons").json()["items"]) == 3


def test_what_was_given_opens_in_the_export(then: Upgraded) -> None:
    ada = then.person(0)
    with zipfile.ZipFile(io.BytesIO(ada("GET", "/v1/me/export").content)) as archive:
        names, document = archive.namelist(), json.loads(archive.read("mien.json"))

    assert sum(name.startswith("photos/") for name in names) == 2
    assert sum(name.startswith("templates/") for name in names) == 2
    assert {grant["consent_id"] for grant in document["purposes"]} == {
        one["consent_id"] for one in then.story["consents"]
    }
    assert document["proofs"] == [], "the day an old consent was given on is sealed: no proof is made up"


def test_what_ended_stays_ended(then: Upgraded) -> None:
    withdrawn, erased = then.story["withdrawn"], then.story["erased"]
    client = then.service.client
    gone = Person(client, erased["subject_id"], erased["token"], erased["recovery_code"])
    erasure = client.get(f"/v1/erasures/{then.story['erasure']['erasure_id']}").json()

    assert then.party(0).verify(withdrawn["subject_ref"], toy_photo(2)).status_code == 404
    assert gone("GET", "/v1/me").status_code == 401
    assert (erasure["status"], erasure["step"]) == ("completed", "completed")


def test_rights_work_on(then: Upgraded) -> None:
    ada, door = then.person(0), then.party(0)
    consent = then.story["consents"][0]
    again = enrol(ada, [consent["consent_id"]], [toy_photo(1), toy_photo(1, variant=2)])
    ended = ada("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()["state"]
    after = door.verify(consent["subject_ref"], toy_photo(1)).status_code
    erased = ada("DELETE", "/v1/me").json()["status"]

    assert (again.status_code, ended, after, erased) == (201, "withdrawn", 404, "completed")


def test_log_has_what_is_done_from_now_on(then: Upgraded) -> None:
    ada, door, consent = then.person(0), then.party(0), then.story["consents"][0]
    old = ada("GET", "/v1/me/receipts").json()["items"]
    compared = door.verify(consent["subject_ref"], toy_photo(1)).json()["comparison_id"]
    ended = ada("DELETE", f"/v1/me/consents/{consent['consent_id']}").json()["receipt"]
    new = ada("GET", "/v1/me/receipts").json()["items"]
    entries = [row[0] for row in rows(then.service.vault.data.path, "SELECT id FROM entries")]
    erasure = then.service.client.get(f"/v1/erasures/{then.story['erasure']['erasure_id']}").json()

    assert (old, erasure["receipt"]) == ([], None), "what was done before has no receipt, and gets none"
    assert [(one["kind"], one["receipt"]["leaf"]) for one in new] == [("consent_withdrawn", ended["leaf"])]
    assert entries == [compared.replace("-", "")]


@pytest.mark.parametrize(("subject_id", "step"), [("ada", "intent"), (None, "deleted")])
def test_erasure_that_was_under_way_is_finished(
    tmp_path: Path, pool: SharedPool, subject_id: str | None, step: str
) -> None:
    """0.1.0 wrote how far it was in another way."""
    story = laid_out("0.1.0", tmp_path)
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
    # How much there was before an older version deleted it, nobody counted.
    assert stores == {"mien.db": (step == "intent", 0), "register.db": (step == "intent", 0)}
