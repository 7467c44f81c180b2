"""Data may go back in time, the register never does: after a restore, everything that ended since stays ended."""

import base64
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from app.jobs.maintenance import purge_dead_rows
from app.parties import service as parties
from app.vault.open import check, migrate, open_vault
from app.vault.seal import KekError
from app.vault.vault import ForeignRegisterError
from tests.support.byte_scan import live_keys, openable, rows
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

REFUSES_TO_START = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
"""uvicorn leaves with SystemExit, here in a thread."""


@contextmanager
def back_in_time(root: Path) -> Iterator[None]:
    """Copy the old data back at the end of the block, so that the next start must do the work of a restore."""
    backup = root.with_name("backup")
    shutil.copytree(root / "data", backup)
    yield
    shutil.rmtree(root / "data")
    shutil.copytree(backup, root / "data")


def as_before(service: RunningService, *people: Person) -> list[Person]:
    """Return the same people, calling *service*."""
    return [Person(service.client, one.subject_id, one.token, one.recovery_code) for one in people]


def test_a_restore_brings_back_consents_in_force_and_no_ended_ones(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        people = [service.enrolled(face=face, party=service.party(f"Door {face}")) for face in range(4)]
        refs = [given["subject_ref"] for _, _, given in people]
        keys = [party.key for _, party, _ in people]
        second_token = people[3][0]("POST", "/v1/me/tokens").json()
        retired_party = service.party("Old door")
    with back_in_time(root), serving(root, pool, toy_card()) as service:
        withdrew, erased, revoked, stayed = as_before(service, *(person for person, _, _ in people))
        withdrew("DELETE", f"/v1/me/consents/{people[0][2]['consent_id']}")
        erased("DELETE", "/v1/me")
        new_code = service.client.post("/v1/recoveries", json={"recovery_code": revoked.recovery_code}).json()
        stayed("DELETE", f"/v1/me/tokens/{second_token['token_id']}")
        parties.revoke(service.vault, party_id=UUID(retired_party.id), now=service.clock())
    with serving(root, pool, toy_card()) as service:
        withdrew, erased, revoked, stayed = as_before(service, *(person for person, _, _ in people))
        verified = [
            Party(service.client, "", key).verify(ref, toy_photo(face)).status_code
            for face, (key, ref) in enumerate(zip(keys, refs, strict=True))
        ]
        decisions = withdrew("GET", "/v1/me/consents").json()
        recovered = service.client.post("/v1/recoveries", json={"recovery_code": revoked.recovery_code})
        old_token = Person(service.client, stayed.subject_id, second_token["access_token"], "")("GET", "/v1/me")
        old_party = Party(service.client, "", retired_party.key)("GET", "/v1/relying-party")
        opened = openable(in_file(service.vault.data).path, live_keys(root))
        held = rows(in_file(service.vault.data).path, "SELECT count(*) FROM subjects")

        erased_again, revoked_again = erased("GET", "/v1/me").status_code, revoked("GET", "/v1/me").status_code
        name, purged = (
            stayed("GET", "/v1/me").json()["display_name"],
            purge_dead_rows(service.vault, settings=service.settings, now=service.clock()),
        )

    assert verified == [404, 404, 200, 200]
    assert [one["state"] for one in decisions["items"]] == ["withdrawn", "given"]
    assert decisions["in_force"] == []
    assert (erased_again, held) == (401, [(3,)])
    assert (revoked_again, recovered.status_code, bool(new_code)) == (401, 401, True)
    assert (old_token.status_code, old_party.status_code) == (401, 401)
    assert name == "Ada Canary"
    assert len([1 for table, _ in opened if table == "templates"]) == 2
    assert purged == 0, "all of it was done before the service was ready"


def test_revoked_relying_party_cannot_be_consented_to_after_a_restore(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        party, other = service.party("Old door"), service.party("New door")
    with back_in_time(root), serving(root, pool, toy_card()) as service:
        parties.revoke(service.vault, party_id=UUID(party.id), now=service.clock())
    with serving(root, pool, toy_card()) as service:
        names = {one["name"] for one in service.client.get("/v1/relying-parties").json()["items"]}

    assert names == {"New door"}
    assert other.id != party.id


def test_replaced_template_does_not_come_back_with_a_backup(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        person, party, given = service.enrolled(face=1)
    with back_in_time(root), serving(root, pool, toy_card()) as service:
        (person,) = as_before(service, person)
        enrol(person, [given["consent_id"]], [toy_photo(2)])
    with serving(root, pool, toy_card()) as service:
        (person,) = as_before(service, person)
        door = Party(service.client, party.id, party.key)
        first = door.verify(given["subject_ref"], toy_photo(1))
        enrolments = person("GET", "/v1/me/enrolments").json()["items"]
        again = enrol(person, [given["consent_id"]], [toy_photo(1)])
        second = door.verify(given["subject_ref"], toy_photo(1))

    assert (first.status_code, enrolments) == (404, [])
    assert (again.status_code, second.json()["decision"]) == (201, "match")


def test_wrong_key_of_keys_is_refused_and_nothing_is_deleted(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        service.enrolled(face=1)
    before = contents(root)
    (root / "keys" / "kek").write_bytes(base64.b64encode(secrets.token_bytes(32)))
    vault = open_vault(settings_for(root))

    with pytest.raises(KekError):
        check(vault)
    with pytest.raises(KekError), serving(root, pool, toy_card()):
        pass
    assert contents(root) == before


def test_another_register_is_refused_and_nothing_is_deleted(root: Path, pool: SharedPool, tmp_path: Path) -> None:
    with serving(root, pool, toy_card()) as service:
        service.enrolled(face=1)
    prepare(tmp_path / "other")
    shutil.rmtree(root / "keys")
    shutil.copytree(tmp_path / "other" / "keys", root / "keys")
    before = contents(root)
    vault = open_vault(settings_for(root))

    with pytest.raises(ForeignRegisterError):
        check(vault)
    with pytest.raises(ForeignRegisterError, match="does not belong"), serving(root, pool, toy_card()):
        pass
    assert contents(root) == before


def test_missing_register_is_refused_and_not_created(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        service.enrolled(face=1)
    before = rows(root / "data" / "mien.db", "SELECT id FROM templates")
    shutil.rmtree(root / "keys")

    with pytest.raises(ForeignRegisterError, match="no register"):
        open_vault(settings_for(root))
    with pytest.raises(ForeignRegisterError, match="no register"), serving(root, pool, toy_card()):
        pass
    (root / "keys").mkdir()
    (root / "keys" / "register.db").touch()
    with pytest.raises(ForeignRegisterError, match="no register"):
        migrate(open_vault(settings_for(root)))
    assert len(before) == 1
    assert rows(root / "data" / "mien.db", "SELECT id FROM templates") == before


def contents(root: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of both databases."""
    found = {}
    for path in (root / "data" / "mien.db", root / "keys" / "register.db"):
        for (table,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'"):
            found[f"{path.stem}.{table}"] = sorted(rows(path, f"SELECT * FROM {table}"), key=repr)  # noqa: S608 - from the schema
    assert found
    return found
