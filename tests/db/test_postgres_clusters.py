"""The PostgreSQL clusters that tests and benchmarks use."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.support.postgres_clusters import Cluster, Clusters, Databases, running_clusters, runs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.service


def test_the_two_clusters_are_different_systems(clusters: Clusters) -> None:
    identifiers = [
        cluster.sql("SELECT system_identifier FROM pg_control_system()")
        for cluster in (clusters.data, clusters.register)
    ]
    assert len(set(identifiers)) == 2


def test_each_test_has_databases_of_its_own_that_can_be_copied(clusters: Clusters, databases: Databases) -> None:
    clusters.data.sql("CREATE TABLE noted AS SELECT 7 AS number", databases.name)
    copy, empty = clusters.create(like=databases), clusters.create()

    assert clusters.data.sql("SELECT number FROM noted", copy.name) == "7"
    assert clusters.data.sql("SELECT to_regclass('noted') IS NULL", empty.name) == "t"
    assert clusters.data.url(copy.name) == copy.data_url
    clusters.drop(copy)
    clusters.drop(empty)
    assert copy.name not in clusters.register.sql("SELECT datname FROM pg_database").split()


def test_a_synchronous_standby_has_each_commit_when_the_primary_is_killed() -> None:
    primary = Cluster.created()
    standby = primary.standby("second")
    primary.sql("CREATE TABLE noted AS SELECT 7 AS number")

    primary.kill()
    standby.promote()

    assert standby.sql("SELECT number, pg_is_in_recovery() FROM noted") == "7|f"
    primary.remove()
    standby.remove()


def test_a_killed_server_starts_again_with_what_it_committed() -> None:
    with running_clusters(durable=True) as clusters:
        data = clusters.data
        data.sql("CREATE TABLE noted AS SELECT 7 AS number")
        data.kill()
        data.start()
        assert data.sql("SELECT number, current_setting('fsync') FROM noted") == "7|on"


def test_only_the_log_of_the_data_is_archived() -> None:
    with running_clusters(archive=True) as clusters:
        clusters.data.sql("CREATE TABLE noted AS SELECT 'a canary' AS word")
        clusters.data.sql("SELECT pg_switch_wal()")
        wait_until(lambda: any(b"a canary" in path.read_bytes() for path in clusters.data.archive.iterdir()))
        assert clusters.register.sql("SHOW archive_mode") == "off"


def test_nothing_is_left_of_a_killed_run() -> None:
    program = """
import sys
from tests.support.postgres_clusters import running_clusters
with running_clusters() as clusters:
    for cluster in (clusters.data, clusters.register):
        print(cluster.pid, cluster.directory)
    sys.stdout.flush()
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        started = [child.stdout.readline().split() for _ in range(2)]
        assert all(runs(int(pid)) for pid, _ in started)
        child.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(runs(int(pid)) or Path(directory).exists() for pid, directory in started))
