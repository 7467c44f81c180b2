"""Whether the service lives and is ready, and what it says of itself."""

import shutil
from pathlib import Path

import pytest

from app.vault.open import DATA_FILE, REGISTER_FILE
from tests.consent.spies import change_row
from tests.support.byte_scan import rows
from tests.support.service_fixture import House, SharedPool, serving
from tests.support.toy_engine import toy_card


def test_a_service_that_can_serve_says_so(mien: House) -> None:
    mien.pool.wait_full()

    live, ready = mien.client.get("/livez"), mien.client.get("/readyz")

    said = ready.json()
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert (ready.status_code, said["status"], said["reasons"]) == (200, "ready", [])
    assert (said["profile"], said["engine"], said["weights_verified"]) == ("prototype", "toy", True)
    assert "not for real people" in said["controller"]
    assert (said["key_protection"], said["keys_apart"]) == ("file", True)
    assert said["sandbox"]["level"] in {"full", "reduced"}
    assert said["engine_workers"] == 2


def test_the_live_profile_is_not_ready_until_it_is_lawful(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), profile="live") as mien:
        answer = mien.client.get("/readyz")

        assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
        assert "MIEN_CONTROLLER_NAME" in " ".join(answer.json()["reasons"])
        assert mien.client.get("/livez").status_code == 200


@pytest.mark.parametrize(("schema", "to_do"), [("0001", "mien migrate"), ("9999", "no way down")])
def test_a_schema_of_another_version_is_not_ready(mien: House, schema: str, to_do: str) -> None:
    ((head,),) = rows(mien.vault.data.path, "SELECT version_num FROM alembic_version")
    change_row(mien.vault, "UPDATE alembic_version SET version_num = :schema", schema=schema)

    answer = mien.client.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert to_do in " ".join(answer.json()["reasons"])
    change_row(mien.vault, "UPDATE alembic_version SET version_num = :head", head=head)
    assert mien.client.get("/readyz").status_code == 200


def test_a_register_of_other_data_is_not_ready(mien: House) -> None:
    change_row(mien.vault, "UPDATE bound_to SET origin_id = '00000000000000000000000000000000'")

    answer = mien.client.get("/readyz")

    assert answer.status_code == 503
    assert "MIEN_KEYS_DIR" in " ".join(answer.json()["reasons"])


def test_databases_that_cannot_be_read_are_not_ready(mien: House) -> None:
    for name in (DATA_FILE, REGISTER_FILE):
        (path,) = mien.root.rglob(name)
        mien.vault.data.close()
        mien.vault.register.store.close()
        good = path.with_suffix(".good")
        shutil.copyfile(path, good)
        path.write_bytes(b"no database" * 1000)
        broken = mien.client.get("/readyz")
        mien.vault.data.close()
        mien.vault.register.store.close()
        shutil.copyfile(good, path)

        assert (broken.status_code, broken.json()["reasons"]) == (503, ["the databases cannot be read"]), name
        assert mien.client.get("/livez").status_code == 200


def test_the_files_of_a_service_are_for_its_owner_only(mien: House) -> None:
    mien.person()

    modes = {path.name: path.stat().st_mode & 0o777 for path, _ in mien.files()}

    assert len(modes) >= 3
    assert set(modes.values()) == {0o600}, modes
