"""Attacks by a program that can write the data volume or a backup, but has no key."""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from app.db.sqlite.schema import ChangedSchemaError
from app.vault.backup_manifest import BackupError
from tests.support.byte_scan import rows
from tests.support.launcher import refused, run_here
from tests.support.service_fixture import RunningService, prepare
from tests.vault.operator import DATA, contents, make_backup, restore
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


def write(database: Path, statement: str, *values: object) -> None:
    """Change a database as another program does."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(statement, values)


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
    write(service.vault.data.path, UNDO_RESTRICTION)
    write(service.vault.data.path, f"PRAGMA schema_version = {version}")
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
def test_backup_of_a_changed_schema_is_not_restored(lived_in: Path, tmp_path: Path, statement: str, named: str) -> None:
    """The data were changed before the backup, so its manifest is authentic."""
    write(lived_in / DATA, statement)
    make_backup(lived_in, tmp_path / "backup")
    before = contents(lived_in)

    with pytest.raises(ChangedSchemaError, match=named):
        restore(lived_in, tmp_path / "backup")
    assert contents(lived_in) == before


def test_changed_data_are_replaced_by_a_backup_and_reported(lived_in: Path, backup: Path) -> None:
    write(lived_in / DATA, UNDO_RESTRICTION)

    assert not restore(lived_in, backup).replaced_data_was_read
    assert rows(lived_in / DATA, "SELECT name FROM sqlite_master WHERE name = 'undo'") == []


TOKEN = "mien_sub_" + "a" * 43
FORGERIES: dict[str, tuple[Callable[[Path], None], str]] = {
    "manifest recomputed": (lambda backup: rewrite(**digest_of(backup))(backup), "not authentic"),
    "without a code": (lambda backup: rewrite(**digest_of(backup), mac="")(backup), "not authentic"),
    "as of an older version": (
        lambda backup: rewrite(**digest_of(backup), mac="", format=1)(backup),
        "has no authentication code",
    ),
}


@pytest.mark.parametrize(("forge", "reason"), FORGERIES.values(), ids=FORGERIES)
def test_backup_with_a_token_of_the_attacker_is_refused(
    lived_in: Path, backup: Path, forge: Callable[[Path], None], reason: str
) -> None:
    digest = hashlib.sha256(TOKEN.encode()).digest()
    write(backup / "mien.db", "UPDATE tokens SET digest = ? WHERE kind = 'access'", digest)
    forge(backup)
    before = contents(lived_in)

    assert refused(run_here(lived_in, "restore", backup), reason)
    assert contents(lived_in) == before


def test_code_of_another_register_does_not_fit(lived_in: Path, backup: Path, tmp_path: Path) -> None:
    """The attacker has a service of their own, and lets the manifest name the register of the victim."""
    prepare(tmp_path / "other")
    own = make_backup(tmp_path / "other", tmp_path / "own")
    rewrite(mac=own.mac)(backup)

    with pytest.raises(BackupError, match="not authentic"):
        restore(lived_in, backup)


def test_restore_into_a_new_machine_with_the_register(lived_in: Path, backup: Path, tmp_path: Path) -> None:
    shutil.copytree(lived_in / "keys", tmp_path / "new" / "keys")

    assert run_here(tmp_path / "new", "restore", backup).exit_code == 0
    assert rows(tmp_path / "new" / DATA, "SELECT count(*) FROM restorations") == [(1,)]


def test_backup_stays_authentic_after_a_rotation_and_a_restore(lived_in: Path, backup: Path) -> None:
    """The start after a restore destroys each key without a row, but not the authentication key."""
    assert restore(lived_in, backup)
    for command in ("sweep", "keys rotate"):
        assert run_here(lived_in, *command.split()).exit_code == 0

    assert restore(lived_in, backup).replaced_data_was_read
