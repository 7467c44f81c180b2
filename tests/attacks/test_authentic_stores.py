"""Attacks by a program that can write the data volume or a backup, but has no key."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from app.db.sqlite.schema import ChangedSchemaError
from app.vault.backup_manifest import BackupError
from tests.support.byte_scan import rows
from tests.support.launcher import refused, run_here
from tests.support.service_fixture import RunningService
from tests.vault.operator import DATA, contents, restore
from tests.vault.test_restore_refused import digest_of, rewrite

UNDO_RESTRICTION = """
CREATE TRIGGER undo AFTER UPDATE OF spell_id ON subjects WHEN NEW.spell_id IS NULL
BEGIN UPDATE subjects SET spell_id = OLD.spell_id WHERE id = NEW.id; END
"""
SCHEMA_CHANGES = {
    "trigger": (UNDO_RESTRICTION, "trigger undo was planted"),
    "view": ("CREATE VIEW seen AS SELECT * FROM tokens", "view seen was planted"),
    "table": ("CREATE TABLE copies (token BLOB)", "table copies was planted"),
    "index": ("DROP INDEX one_grant_each", "index one_grant_each is missing"),
    "guard": ("DROP TRIGGER notices_never_update", "trigger notices_never_update is missing"),
    "column": ("ALTER TABLE tokens ADD COLUMN copied BLOB", "table tokens was changed"),
}
CHANGES = pytest.mark.parametrize(("statement", "named"), SCHEMA_CHANGES.values(), ids=SCHEMA_CHANGES)


def write(database: Path, *statements: str) -> None:
    """Change a database as another program does."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def rewrite_manifest(backup: Path) -> None:
    """Make the size and every digest of a backup's manifest fit its changed database."""
    rewrite(**digest_of(backup))(backup)


def reasons(answer: httpx.Response) -> str:
    """Return the reasons of an answer of `/readyz`."""
    return f"{answer.status_code}: {'; '.join(answer.json()['reasons'])}"


@CHANGES
def test_changed_schema_is_named_and_nothing_is_written(service: RunningService, statement: str, named: str) -> None:
    person, _, _ = service.enrolled()
    before = person("GET", "/v1/me").json()
    write(service.vault.data.path, statement)
    restricted = person("PUT", "/v1/me/restriction")
    after = person("GET", "/v1/me").json()
    ready = service.client.get("/readyz")

    assert (restricted.status_code, restricted.json()["type"]) == (503, "urn:mien:problem:storage-unavailable")
    assert after == before
    assert f"503: another program changed the schema of mien.db: the {named}" in reasons(ready)


def test_change_that_hides_its_schema_version_is_found(service: RunningService) -> None:
    """SQLite reads the schema again only when its version changes, and an attacker can write the version too."""
    person, _, _ = service.enrolled()
    version = rows(service.vault.data.path, "PRAGMA schema_version")[0][0]
    write(service.vault.data.path, UNDO_RESTRICTION, f"PRAGMA schema_version = {version}")
    ready = service.client.get("/readyz")
    # Connections of before do not know the trigger; those of from now on compare.
    restricted = [person("PUT", "/v1/me/restriction").status_code]
    service.vault.data.writer.dispose()
    restricted.append(person("PUT", "/v1/me/restriction").status_code)

    assert "trigger undo was planted" in reasons(ready)
    assert restricted == [200, 503]
    assert rows(service.vault.data.path, "SELECT spell_id FROM subjects") == [(None,)]


def test_register_with_a_planted_trigger_is_named_and_not_written(service: RunningService) -> None:
    never_end = "CREATE TRIGGER never_end BEFORE UPDATE ON keys BEGIN SELECT RAISE(IGNORE); END"
    person, _, consent = service.enrolled()
    write(service.vault.register.store.path, never_end)
    withdrawn = person("DELETE", f"/v1/me/consents/{consent['consent_id']}")
    ready = service.client.get("/readyz")

    assert withdrawn.status_code == 503
    assert service.living_keys(consent["consent_id"])
    assert "schema of register.db: the trigger never_end was planted" in reasons(ready)


@CHANGES
def test_start_on_a_changed_schema_is_refused(root: Path, statement: str, named: str) -> None:
    write(root / DATA, statement)

    assert refused(run_here(root, "sweep"), named)


@CHANGES
def test_backup_with_a_changed_schema_is_refused(lived_in: Path, backup: Path, statement: str, named: str) -> None:
    write(backup / "mien.db", statement)
    rewrite_manifest(backup)
    before = contents(lived_in)

    with pytest.raises((BackupError, ChangedSchemaError)):
        restore(lived_in, backup)
    assert contents(lived_in) == before
