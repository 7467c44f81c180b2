"""Liveness, readiness and the reported configuration."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from app.vault.open import DATA_FILE, REGISTER_FILE
from tests.consent.spies import change_row
from tests.support.byte_scan import rows
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card


def test_a_working_service_is_live_and_ready(service: RunningService) -> None:
    service.pool.wait_full()

    live, ready = service.client.get("/livez"), service.client.get("/readyz")

    body = ready.json()
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    assert (ready.status_code, body["status"], body["reasons"]) == (200, "ready", [])
    assert (body["profile"], body["engine"], body["weights_verified"]) == ("prototype", "toy", True)
    assert "not for real people" in body["controller"]
    assert (body["key_protection"], body["keys_apart"]) == ("file", True)
    assert body["sandbox"]["level"] in {"full", "reduced"}
    assert body["engine_workers"] == 2


def test_the_live_profile_is_not_ready_while_a_requirement_is_missing(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), profile="live") as service:
        answer = service.client.get("/readyz")

        assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
        assert "MIEN_CONTROLLER_NAME" in " ".join(answer.json()["reasons"])
        assert service.client.get("/livez").status_code == 200


@pytest.mark.parametrize(("schema", "to_do"), [("0001", "mien migrate"), ("9999", "only go forward")])
def test_a_schema_of_another_version_is_not_ready(service: RunningService, schema: str, to_do: str) -> None:
    ((head,),) = rows(in_file(service.vault.data).path, "SELECT version_num FROM alembic_version")
    change_row(service.vault, "UPDATE alembic_version SET version_num = :schema", schema=schema)

    answer = service.client.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert to_do in " ".join(answer.json()["reasons"])
    change_row(service.vault, "UPDATE alembic_version SET version_num = :head", head=head)
    assert service.client.get("/readyz").status_code == 200


def test_a_register_of_other_data_is_not_ready(service: RunningService) -> None:
    change_row(service.vault, "UPDATE bound_to SET origin_id = '00000000000000000000000000000000'")

    answer = service.client.get("/readyz")

    assert answer.status_code == 503
    assert "MIEN_KEYS_DIR" in " ".join(answer.json()["reasons"])


def test_a_service_with_unreadable_databases_is_not_ready(service: RunningService) -> None:
    for name in (DATA_FILE, REGISTER_FILE):
        (path,) = service.root.rglob(name)
        service.vault.close()
        good = path.with_suffix(".good")
        shutil.copyfile(path, good)
        path.write_bytes(b"no database" * 1000)
        broken = service.client.get("/readyz")
        service.vault.close()
        shutil.copyfile(good, path)

        damaged = "the databases cannot be read: the file is damaged: stop, and restore it from a backup"
        assert (broken.status_code, broken.json()["reasons"]) == (503, [damaged]), name
        assert service.client.get("/livez").status_code == 200


def test_only_the_owner_can_read_the_files_of_a_service(service: RunningService) -> None:
    service.person()

    modes = {path.name: path.stat().st_mode & 0o777 for path, _ in service.files()}

    assert len(modes) >= 3
    assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize("profile", ["prototype", "live"])
def test_an_engine_without_its_converted_network_serves_and_the_reason_is_told(
    profile: str, root: Path, pool: SharedPool
) -> None:
    card = replace(toy_card(), not_converted="dlib runs its network: there is no room")
    with serving(root, pool, card, profile=profile) as service:
        answer = service.client.get("/readyz").json()

    assert "engine: dlib runs its network: there is no room" in answer["warnings"]
    assert not [reason for reason in answer["reasons"] if reason.startswith("engine")]
