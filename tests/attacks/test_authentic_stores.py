"""Attacks by a program that can write the data volume or a backup, but has no key."""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from app.callbacks import outbox
from app.db.errors import ChangedSchemaError
from app.parties.tables import RelyingParty
from app.startup import Run
from app.startup import prepare as start
from app.templates.renewal import is_renewable
from app.templates.tables import Template
from app.vault.authentic_rows import AuthenticRow
from app.vault.backup_manifest import BackupError
from app.vault.open import ExposedStoreError
from tests.compliance.complete_service import live
from tests.support.byte_scan import rows
from tests.support.changed_schema import accept_any_schema
from tests.support.launcher import refused, run_here
from tests.support.service_fixture import (
    Party,
    Person,
    RunningService,
    SharedPool,
    enrol,
    prepare,
    serving,
    settings_for,
)
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
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


REMEDY = "docs/how-to/back-up-and-restore.md"


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
    write(in_file(service.vault.data).path, statement)
    restricted = person("PUT", "/v1/me/restriction")
    after = person("GET", "/v1/me").json()
    ready = service.client.get("/readyz")

    assert (restricted.status_code, restricted.json()["type"]) == (503, "urn:mien:problem:storage-unavailable")
    assert after == before
    assert f"503: another program changed the schema of mien.db: the {named}" in reasons(ready)


def test_change_that_hides_its_schema_version_is_found(service: RunningService) -> None:
    """SQLite reads the schema again only when its version changes, and an attacker can write the version too."""
    person, _, _ = service.enrolled()
    version = rows(in_file(service.vault.data).path, "PRAGMA schema_version")[0][0]
    write(in_file(service.vault.data).path, UNDO_RESTRICTION)
    write(in_file(service.vault.data).path, f"PRAGMA schema_version = {version}")
    ready = service.client.get("/readyz")
    # Connections of before do not know the trigger; those of from now on compare.
    restricted = [person("PUT", "/v1/me/restriction").status_code]
    service.vault.data.writer.dispose()
    restricted.append(person("PUT", "/v1/me/restriction").status_code)

    assert "trigger undo was planted" in reasons(ready)
    assert restricted == [200, 503]
    assert rows(in_file(service.vault.data).path, "SELECT spell_id FROM subjects") == [(None,)]


def test_register_with_a_planted_trigger_is_named_and_not_written(service: RunningService) -> None:
    never_end = "CREATE TRIGGER never_end BEFORE UPDATE ON keys BEGIN SELECT RAISE(IGNORE); END"
    person, _, consent = service.enrolled()
    write(in_file(service.vault.register.store).path, never_end)
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


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "removed"])
def test_store_that_loses_its_name_is_not_ready(service: RunningService, tmp_path: Path, *, replaced: bool) -> None:
    """SQLite would go on to write into a file that no backup and no restart finds."""
    path = in_file(service.vault.data).path
    if replaced:
        shutil.copy(path, tmp_path / "copy")
        (tmp_path / "copy").replace(path)
    else:
        path.unlink()

    assert f"503: {path} was removed or replaced while it was in use" in reasons(service.client.get("/readyz"))


EXPOSED = {"data": "chmod 700", "keys": "chmod 700", "data/mien.db": "chmod 600", "keys/register.db-wal": "chmod 600"}


@pytest.mark.parametrize(("name", "remedy"), EXPOSED.items(), ids=EXPOSED)
def test_store_that_others_can_open_is_not_ready_in_live(root: Path, pool: SharedPool, name: str, remedy: str) -> None:
    with serving(root, pool, toy_card(), profile="live") as service:
        before = reasons(service.client.get("/readyz"))
        (root / name).chmod((root / name).stat().st_mode | 0o040)
        after = reasons(service.client.get("/readyz"))

    assert "open to other users" not in before
    assert f"{root / name} is open to other users: close it ({remedy})" in after


@pytest.mark.parametrize("name", ["data", "keys", "data/mien.db", "keys/register.db"])
def test_live_does_not_start_on_a_store_that_others_can_open(root: Path, pool: SharedPool, name: str) -> None:
    with serving(root, pool, toy_card()) as service:
        (root / name).chmod((root / name).stat().st_mode | 0o004)
    with pytest.raises(ExposedStoreError, match="is open to other users"):
        start(service.vault, settings_for(root, profile="live"), Run.SERVE)
    with serving(root, pool, toy_card()) as service:
        started = service.client.get("/readyz").status_code

    assert started == 200, "a prototype may begin in a directory that the user made"


def test_store_that_is_opened_to_others_closes_registration(
    root: Path, pool: SharedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.web.live_gate.CACHE_S", 0.0)
    with live(root, pool) as service:
        person = service.person()
        (root / "data").chmod(0o755)
        refused = service.client.post("/v1/subjects", json={"declared_adult": True})
        right = person("GET", "/v1/me/access")

    assert (refused.status_code, right.status_code) == (503, 200)


# --- Rows of tokens, subjects, consents and relying parties.


def forged(answer: httpx.Response, table: str) -> bool:
    """Return whether `/readyz` names the table of a forged row."""
    return reasons(answer).startswith(f"503: another program changed rows of {table}: restore a backup")


def test_token_of_the_attacker_opens_no_account(service: RunningService) -> None:
    person, _, _ = service.enrolled()
    digest = hashlib.sha256(TOKEN.encode()).digest()
    attacker = Person(service.client, person.subject_id, TOKEN, person.recovery_code)
    write(in_file(service.vault.data).path, "UPDATE tokens SET digest = ? WHERE kind = 'access'", digest)
    with capture_logs() as logged:
        answer = attacker("GET", "/v1/me")
        ready = service.client.get("/readyz")

    assert answer.status_code == 401
    assert forged(ready, "tokens")
    assert [line for line in logged if line["log_level"] == "error"] == [
        {"event": "row is not authentic", "table": "tokens", "remedy": REMEDY, "log_level": "error"}
    ]


def test_token_of_another_person_opens_no_account(service: RunningService) -> None:
    """A row that is authentic for its own person is moved to another one."""
    victim, attacker = service.person(), service.person()
    ids = (UUID(victim.subject_id).hex, UUID(attacker.subject_id).hex)
    write(in_file(service.vault.data).path, "UPDATE tokens SET subject_id = ? WHERE subject_id = ?", *ids)

    assert attacker("GET", "/v1/me").status_code == 401
    assert victim("GET", "/v1/me").status_code == 200


def test_recovery_code_of_the_attacker_recovers_nothing(service: RunningService) -> None:
    person, code = service.person(), "mien_rec_" + "a" * 43
    digest = hashlib.sha256(code.encode()).digest()
    write(in_file(service.vault.data).path, "UPDATE tokens SET digest = ? WHERE kind = 'recovery'", digest)
    answer = service.client.post("/v1/recoveries", json={"recovery_code": code})

    assert answer.status_code == 401
    assert person("GET", "/v1/me").status_code == 200


def test_planted_key_of_a_relying_party_does_not_work(service: RunningService) -> None:
    _, door, consent = service.enrolled()
    key = "mien_rp_" + "a" * 43
    plant = "INSERT INTO party_keys SELECT ?, relying_party_id, ?, created_on, ends_at, mac FROM party_keys"
    write(in_file(service.vault.data).path, plant, "a" * 32, hashlib.sha256(key.encode()).digest())
    planted = Party(service.client, door.id, key)

    assert planted.verify(consent["subject_ref"], toy_photo(1)).status_code == 401
    assert door.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] == "match"
    assert forged(service.client.get("/readyz"), "party_keys")


PERIOD = "'" + "b" * 32 + "'"
CONSENT_CHANGES = {
    "for longer": ("grants", "UPDATE grants SET valid_until = '2099-01-01 00:00:00.000000'"),
    "for another period": ("grants", f"UPDATE grants SET spell_id = {PERIOD}"),  # noqa: S608 - a fixed id
    "under another reference": ("grants", "UPDATE grants SET subject_ref = 'known'"),
    "of a restricted person": ("subjects", f"UPDATE subjects SET spell_id = {PERIOD}"),  # noqa: S608 - as above
}


@pytest.mark.parametrize(("table", "statement"), CONSENT_CHANGES.values(), ids=CONSENT_CHANGES)
def test_changed_consent_matches_nothing(service: RunningService, table: str, statement: str) -> None:
    person, door, consent = service.enrolled()
    reference = consent["subject_ref"]
    assert door.verify(reference, toy_photo(1)).status_code == 200
    if table == "subjects":
        person("PUT", "/v1/me/restriction").raise_for_status()
    write(in_file(service.vault.data).path, statement)
    answers = [door.verify(one, toy_photo(1)).status_code for one in (reference, "known")]
    listed = door("GET", "/v1/relying-party/subjects").json()["items"]

    assert answers == [404, 404]
    # A restricted consent is listed, as law 9 wants.
    assert (listed == []) is (table == "grants")
    assert forged(service.client.get("/readyz"), table)


def test_consent_moved_to_the_party_of_the_attacker_matches_nothing(service: RunningService) -> None:
    _, _, consent = service.enrolled()
    attacker = service.party("Attacker")
    party = UUID(attacker.id).hex
    with closing(sqlite3.connect(in_file(service.vault.data).path)) as connection, connection:
        for table in ("grants", "templates"):
            connection.execute(f"UPDATE {table} SET relying_party_id = ?", (party,))  # noqa: S608 - fixed names

    assert attacker.verify(consent["subject_ref"], toy_photo(1)).status_code == 404


def test_forged_row_does_not_become_authentic_by_a_change(service: RunningService) -> None:
    """The service writes a code only for a row whose earlier code fits."""
    person, door, consent = service.enrolled()
    write(in_file(service.vault.data).path, "UPDATE grants SET valid_until = '2027-11-15 12:34:56.000000'")
    body = {"notice_sha256": service.notice("verification"), "valid_until": "2028-06-01T00:00:00Z"}
    service.clock.advance(days=300)
    renewed = person("POST", f"/v1/me/consents/{consent['consent_id']}/renewal", json=body)

    assert renewed.status_code == 503
    assert door.verify(consent["subject_ref"], toy_photo(1)).status_code == 404


def test_code_is_never_made_for_rows_without_one(root: Path) -> None:
    """Only the first start with a register makes codes: later, a row without one is a planted row."""
    plant = "INSERT INTO subjects (id, registered_on, erasing) VALUES (?, '2026-01-01', 0)"
    write(root / DATA, plant, "a" * 32)
    for command in ("migrate", "notice list"):
        assert run_here(root, *command.split()).exit_code == 0

    assert rows(root / DATA, "SELECT mac FROM subjects") == [(None,)]


def test_planted_trigger_cannot_make_codes(service: RunningService) -> None:
    """Even where the schema is not compared."""
    accept_any_schema(service.vault.data)
    trigger = "CREATE TRIGGER sign AFTER UPDATE ON subjects BEGIN UPDATE subjects SET mac = mien_row_code('x'); END"
    person = service.person()
    write(in_file(service.vault.data).path, trigger)

    assert person("PATCH", "/v1/me", json={"display_name": "Eve"}).status_code == 503


def test_row_that_a_query_leaves_out_does_not_count_as_forged(service: RunningService) -> None:
    """SQLite puts the constant of `purpose = …` in the place of the column, for rows of another purpose too."""
    person, _, given = service.enrolled()
    service.consent(person, None, "template_renewal")
    enrol(person, [given["consent_id"]], [toy_photo(1)], keep_photos="true")
    with service.vault.data.read() as session:
        session.scalars(select(Template.id).where(is_renewable("0" * 64, now=service.clock()))).all()
    ready = service.client.get("/readyz")

    assert ready.status_code == 200, ready.text


# --- Notices, purposes of relying parties, and messages to them.

PLANT_NOTICE = """
INSERT INTO notices SELECT ?, purpose, language, version + 1, published_at, ?, template, facts, mac FROM notices
WHERE purpose = 'verification'
"""


def test_planted_notice_takes_no_consent(service: RunningService) -> None:
    person, door, text = service.person(), service.party(), b"---\npurpose: verification\n---\nWe give your face away."
    digest, own = hashlib.sha256(text).hexdigest(), service.notice("verification")
    write(in_file(service.vault.data).path, PLANT_NOTICE, digest, text)
    asked = {"purpose": "verification", "relying_party_id": door.id}
    answers = [person("POST", "/v1/me/consents", json={**asked, "notice_sha256": one}) for one in (digest, own)]
    listed = [one["sha256"] for one in service.client.get("/v1/notices").json()["items"]]
    read = service.client.get(f"/v1/notices/{digest}")

    assert [answer.status_code for answer in answers] == [409, 201]
    assert own in listed
    assert digest not in listed
    assert read.status_code == 503
    assert forged(service.client.get("/readyz"), "notices")


def test_changed_text_of_a_notice_is_not_shown_and_its_consents_can_be_withdrawn(service: RunningService) -> None:
    person, _, consent = service.enrolled()
    with closing(sqlite3.connect(in_file(service.vault.data).path)) as connection, connection:
        find = "SELECT sql FROM sqlite_master WHERE name = 'notices_never_update'"
        (guard,) = connection.execute(find).fetchone()
        connection.execute("DROP TRIGGER notices_never_update")
        connection.execute("UPDATE notices SET body = CAST(replace(body, 'face', 'foot') AS BLOB)")
        connection.execute(guard)
    shown = service.client.get(f"/v1/notices/{consent['notice_sha256']}")
    withdrawn = person("DELETE", f"/v1/me/consents/{consent['consent_id']}")

    assert shown.status_code == 503
    assert (withdrawn.status_code, withdrawn.json()["state"]) == (200, "withdrawn")
    assert person("GET", "/v1/me/consents").json()["in_force"] == []
    assert forged(service.client.get("/readyz"), "notices")


def test_planted_purpose_takes_no_consent(service: RunningService) -> None:
    person, door = service.person(), service.party()
    plant = "INSERT INTO party_purposes SELECT relying_party_id, 'identification', mac FROM party_purposes"
    write(in_file(service.vault.data).path, plant)
    asked = {"purpose": "identification", "relying_party_id": door.id}
    body = {**asked, "notice_sha256": service.notice("identification")}
    answer = person("POST", "/v1/me/consents", json=body)
    (listed,) = service.client.get("/v1/relying-parties").json()["items"]

    assert answer.status_code == 422
    assert listed["purposes"] == ["verification"]
    assert forged(service.client.get("/readyz"), "party_purposes")


def test_planted_message_is_not_signed(service: RunningService) -> None:
    """Otherwise the service would sign that a person gave or ended a consent."""
    door = service.party()
    plant = "INSERT INTO outbox VALUES (?, NULL, NULL, ?, 'given', 'known', 'verification', '2026-01-01', 0, NULL)"
    write(in_file(service.vault.data).path, plant, "a" * 32, UUID(door.id).hex)
    with service.vault.data.write() as session:
        session.get_one(RelyingParty, UUID(door.id)).callback = "https://door.example/callback"
    with service.vault.data.write() as session:
        claimed = outbox.claim(session, UUID("a" * 32))
        waiting = outbox.list_waiting(session, UUID(door.id))

    assert (claimed, waiting) == (None, [])
    assert forged(service.client.get("/readyz"), "outbox")


def test_every_table_with_codes_begins_with_its_primary_key() -> None:
    for row in AuthenticRow.__subclasses__():
        columns, key = [one.name for one in row.__table__.columns], [one.name for one in row.__table__.primary_key]

        assert columns[: len(key)] == key
        assert not row.unbound & set(key)
