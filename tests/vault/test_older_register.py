"""An older register is refused. A key that does not open prevents no withdrawal and no erasure."""

import secrets
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from app.jobs.maintenance import purge_dead_rows
from app.kit.clock import utc_now
from app.settings import Settings
from app.vault.open import open_vault
from app.vault.register import Owner
from app.vault.seal import WRAPPED_BYTES
from app.vault.vault import ForeignRegisterError
from tests.support.byte_scan import rows
from tests.support.service_fixture import RunningService, SharedPool, enrol, serving, settings_for
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo


def delete_dead_rows(settings: Settings) -> int:
    vault = open_vault(settings)
    with closing(vault.data), closing(vault.register.store):
        return purge_dead_rows(vault, settings=settings, now=utc_now())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("since", ["registered", "enrolled again"])
def test_register_older_than_the_data_deletes_nothing(root: Path, pool: SharedPool, since: str) -> None:
    with serving(root, pool, toy_card()) as service:
        ada, party, consent = service.enrolled(face=1)
    shutil.copytree(root / "keys", root / "older")
    with serving(root, pool, toy_card()) as service:
        party.client = ada.client = service.client
        if since == "registered":
            service.enrolled(face=2, party=party)
        else:
            assert enrol(ada, [consent["consent_id"]], [toy_photo(3)]).status_code == 201
    before = rows(root / "data" / "mien.db", "SELECT id FROM subjects UNION SELECT id FROM templates")
    older = settings_for(root).model_copy(update={"keys_dir": root / "older"})

    with pytest.raises(ForeignRegisterError, match="older than the data"):
        delete_dead_rows(older)
    assert rows(root / "data" / "mien.db", "SELECT id FROM subjects UNION SELECT id FROM templates") == before
    assert delete_dead_rows(settings_for(root)) == 0


def damage_key(service: RunningService, owner: Owner) -> None:
    """Damage the key of an owner."""
    with closing(sqlite3.connect(in_file(service.vault.register.store).path)) as connection, connection:
        spoilt = (secrets.token_bytes(WRAPPED_BYTES), owner.digest)
        assert connection.execute("UPDATE keys SET wrapped = ? WHERE owner = ?", spoilt).rowcount


def test_withdrawal_needs_no_key_of_the_subject(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    damage_key(service, Owner.subject(UUID(person.subject_id)))
    unknown = party.verify("unknown", toy_photo(1))
    verified = party.verify(consent["subject_ref"], toy_photo(1))
    seen = person("GET", "/v1/me").status_code
    withdrawn = person("DELETE", f"/v1/me/consents/{consent['consent_id']}")
    left = rows(in_file(service.vault.data).path, "SELECT count(*) FROM grants")

    assert (verified.status_code, verified.content) == (404, unknown.content)
    assert seen == 503, "the store fails, not the request"
    assert (withdrawn.status_code, withdrawn.json()["state"], left) == (200, "withdrawn", [(0,)])
    assert person("DELETE", "/v1/me").json()["status"] == "completed"


def test_template_that_does_not_open_gets_the_common_refusal(service: RunningService) -> None:
    _, party, consent = service.enrolled(face=1)
    damage_key(service, Owner.grant(UUID(consent["consent_id"])))
    unknown, verified = party.verify("unknown", toy_photo(1)), party.verify(consent["subject_ref"], toy_photo(1))

    assert (verified.status_code, verified.content) == (404, unknown.content)
