"""The whole program on two real PostgreSQL clusters."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.vault.seal import KEY_BYTES, MacKey
from tests.support.launcher import Program, refused, run_here, run_program
from tests.support.postgres_clusters import Cluster, Clusters, Databases, running_clusters
from tests.support.waiting import wait_until

pytestmark = pytest.mark.service


def settings_of(databases: Databases) -> dict[str, str]:
    return {
        **databases.variables(),
        "MIEN_ENGINE_WORKERS": "1",
        "MIEN_SQLITE_BUSY_S": "5",
    }


@pytest.fixture
def program(tmp_path: Path, databases: Databases) -> Iterator[Program]:
    with run_program(tmp_path, wait=True, **settings_of(databases)) as running:
        yield running


def reasons(program: Program) -> str:
    return " ".join(program.client.get("/readyz").json()["reasons"])


def test_the_service_serves_and_no_database_file_is_made(program: Program) -> None:
    person = program.person("Ada")
    program.party()

    assert person("GET", "/v1/me").json()["display_name"] == "Ada"
    assert program.command("verify-log")["whole"]
    assert list(program.root.rglob("*.db*")) == []


def test_a_server_that_is_away_is_answered_503_until_it_is_back(program: Program, clusters: Clusters) -> None:
    person = program.person("Ada")
    clusters.data.stop()
    try:
        answer = person("GET", "/v1/me")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:mien:problem:storage-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert "the PostgreSQL server cannot be reached" in reasons(program)
    finally:
        clusters.data.start()

    assert person("GET", "/v1/me").status_code == 200
    wait_until(lambda: not reasons(program))


def test_a_row_that_another_program_changed_acts_as_if_it_did_not_exist(
    program: Program, clusters: Clusters, databases: Databases
) -> None:
    person, other = program.person("Ada"), program.person("Grace")
    subject = f"'{person.subject_id}'"
    clusters.data.sql(
        f"UPDATE tokens SET created_on = created_on - 1 WHERE subject_id = {subject}",  # noqa: S608 - an id of ours
        databases.name,
    )

    assert person("GET", "/v1/me").status_code == 401
    assert other("GET", "/v1/me").status_code == 200
    assert "another program changed rows of tokens" in reasons(program)


def test_a_session_without_the_key_gets_no_code(program: Program, clusters: Clusters, databases: Databases) -> None:
    program.person("Ada")

    assert clusters.data.sql("SELECT mien_row_code('subjects', 'x') IS NULL", databases.name) == "t"
    signed = clusters.data.sql("SELECT bool_and(mac IS NOT NULL) FROM tokens", databases.name)
    assert signed == "t"


def test_the_padded_key_makes_the_codes_of_hmac() -> None:
    key = MacKey(secrets.token_bytes(KEY_BYTES), use="row")
    padded = bytes.fromhex(key.padded())
    inner, outer = padded[:64], padded[64:]

    assert hashlib.sha256(outer + hashlib.sha256(inner + b"row").digest()).digest() == key.code(b"row")


def test_an_erasure_does_not_claim_that_the_bytes_are_gone(program: Program) -> None:
    person = program.person("Ada")

    erasure = person("DELETE", "/v1/me").json()

    assert erasure["status"] == "completed"
    assert "old versions of rows on the database servers" in [kept["what"] for kept in erasure["kept"]]
    assert person("GET", "/v1/me").status_code == 401


@pytest.mark.parametrize("command", [("backup", "copy"), ("restore", "copy")])
def test_backup_and_restore_name_the_way_of_the_server(
    tmp_path: Path, databases: Databases, command: tuple[str, str]
) -> None:
    done = run_here(tmp_path, *command, **settings_of(databases))

    assert refused(done, "pg_basebackup")


def test_one_address_alone_is_refused(tmp_path: Path, databases: Databases) -> None:
    done = run_here(tmp_path, "sweep", MIEN_DATABASE_URL=databases.data_url)

    assert refused(done, "set both MIEN_DATABASE_URL and MIEN_REGISTER_URL")


@pytest.mark.parametrize("address", ["sqlite:///x", "postgresql://mien:s3cret@host:port/x", "postgresql://host"])
def test_an_address_of_another_kind_is_refused_and_never_quoted(tmp_path: Path, address: str) -> None:
    done = run_here(tmp_path, "sweep", MIEN_DATABASE_URL=address, MIEN_REGISTER_URL=address)

    assert done.exit_code == 1
    assert "give the address of a PostgreSQL database" in done.stderr
    assert address not in done.stderr


def test_a_command_without_its_server_says_so_in_one_sentence(tmp_path: Path, databases: Databases) -> None:
    settings = settings_of(databases) | {"MIEN_DATABASE_URL": f"postgresql://mien@/mien?host={tmp_path}"}

    assert refused(run_here(tmp_path, "sweep", **settings), "the PostgreSQL server cannot be reached")


@contextmanager
def live(root: Path, data: str, register: str, **more: str) -> Iterator[Program]:
    settings = {"MIEN_DATABASE_URL": data, "MIEN_REGISTER_URL": register, "MIEN_ENGINE_WORKERS": "1"}
    with run_program(root, wait=False, MIEN_PROFILE="live", **settings, **more) as program:
        yield program


def test_live_refuses_one_cluster_for_both(tmp_path: Path, clusters: Clusters, databases: Databases) -> None:
    register = clusters.create()
    with live(tmp_path, databases.data_url, clusters.data.url(register.name)) as program:
        assert "live: register apart" in reasons(program)
    clusters.drop(register)


def test_live_refuses_a_register_whose_log_is_archived_and_commits_on_one_machine(tmp_path: Path) -> None:
    with running_clusters(archive=True) as clusters:
        both = clusters.create()
        with live(tmp_path, both.register_url, both.data_url) as program:
            found = reasons(program)

    assert "archived, with keys that were destroyed since" in found
    assert "synchronous_standby_names of the data is empty" in found
    assert "fsync of the register is off" in found


def test_live_accepts_a_standby_of_each_or_an_admitted_loss(tmp_path: Path) -> None:
    with running_clusters(durable=True) as clusters:
        both = clusters.create()
        with live(tmp_path, both.data_url, both.register_url, MIEN_WITHOUT_STANDBY="true") as program:
            found = reasons(program)
            assert "register apart" not in found
            assert "durable commits" not in found
        standbys: list[Cluster] = [one.standby("second") for one in (clusters.data, clusters.register)]
        with live(tmp_path, both.data_url, both.register_url) as program:
            assert "durable commits" not in reasons(program)
        for one in (clusters.data, clusters.register):
            one.settings.pop("synchronous_standby_names")
            one.reload()
        for standby in standbys:
            standby.remove()
