"""`mien restore-check` after a real `pg_basebackup` was put back: of the data, and of the register."""

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.kit.clock import utc_now
from tests.support.launcher import run_here
from tests.support.postgres_clusters import Cluster, Databases, run, running_clusters
from tests.support.service_fixture import Person, SharedPool, serving
from tests.support.toy_engine import toy_card

pytestmark = pytest.mark.service


def back_up(cluster: Cluster) -> None:
    """Make a base backup of *cluster* beside its data."""
    source = f"host={cluster.directory} user=postgres"
    run("pg_basebackup", "-D", cluster.directory / "backup", "-d", source, "-c", "fast", as_server=True)


def put_back(cluster: Cluster) -> None:
    """Replace the data of *cluster* by its base backup."""
    cluster.stop()
    shutil.rmtree(cluster.data)
    (cluster.directory / "backup").rename(cluster.data)
    cluster.start()


def check(root: Path, databases: Databases, *options: str) -> dict[str, Any]:
    """Run the command; returns its answer."""
    done = run_here(root, "restore-check", "--json", *options, **databases.variables())
    answer: dict[str, Any] = httpx.Response(200, text=done.stdout).json()
    assert done.exit_code == (0 if answer["passed"] else 1), done.output
    return answer


@pytest.mark.parametrize("older", ["data", "register"])
def test_base_backup_that_is_put_back(tmp_path: Path, pool: SharedPool, older: str) -> None:
    with running_clusters() as clusters:
        databases = clusters.create()
        cluster = clusters.data if older == "data" else clusters.register
        with serving(tmp_path, pool, toy_card(), background=False, **databases.settings()) as service:
            erased, party, _ = service.enrolled(face=1)
            kept, _, _ = service.enrolled(face=2, party=party)
            back_up(cluster)
            made_at = utc_now()
            erased("DELETE", "/v1/me").raise_for_status()
            later, _, _ = service.enrolled(face=3, party=party)
        put_back(cluster)
        if older == "register":
            answer = check(tmp_path, databases)
            found = answer["findings"][-1]
            assert (answer["passed"], found["name"]) == (False, "register"), answer
            assert "older than the data" in found["text"]
            return

        answer = check(tmp_path, databases, "--data-of", made_at.isoformat())
        assert answer["passed"], answer
        with serving(tmp_path, pool, toy_card(), background=False, **databases.settings()) as service:
            assert [status(service.client, person) for person in (erased, kept, later)] == [401, 200, 401]
            assert service.client.get("/readyz").json()["reasons"] == []
            assert len(kept("GET", "/v1/me/enrolments").json()["items"]) == 1


def status(client: httpx.Client, person: Person) -> int:
    """Return the status of the account of *person*, at a new service."""
    person.client = client
    return person("GET", "/v1/me").status_code
