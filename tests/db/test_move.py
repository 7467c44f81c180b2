"""`mien move`: every row arrives, also after an interruption, and the files are left as they were."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from typer.testing import Result

from app.backup.move import CODE, MoveError, move
from app.db.row_digests import TableDigest, table_digests
from app.db.store import unlimited_reads
from app.kit import crash_points
from app.kit.clock import utc_now
from app.settings import Settings
from app.vault.authentic_rows import ForgedRowError
from app.vault.directory_lock import InUseError, in_use
from app.vault.open import MOVED_FILE, MovedError, open_vault
from tests.architecture.source import ROOT
from tests.support.launcher import environment, refused, run_here
from tests.support.postgres_clusters import Clusters, Databases
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, copied, serving, settings_for
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.vault.operator import contents

pytestmark = pytest.mark.service
Digests = dict[str, TableDigest]


class Lived:
    """An installation on SQLite, with people of each kind."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.people: list[Person] = []
        self.party: Party
        self.reference = ""


@pytest.fixture(scope="module")
def installation(prepared: Path, toy_pool: SharedPool, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """One person is enrolled, one is restricted, one has withdrawn, and one has erased everything."""
    lived = Lived(copied(prepared, tmp_path_factory.mktemp("lived") / "service"))
    toy_pool.reset()
    with serving(lived.root, toy_pool, toy_card()) as service:
        lived.party = service.party()
        for face in range(1, 5):
            person, _, consent = service.enrolled(face=face, party=lived.party)
            lived.people.append(person)
            lived.reference = lived.reference or consent["subject_ref"]
        assert verify(service, lived) == "match"
        _, restricted, withdrawn, erased = lived.people
        restricted("PUT", "/v1/me/restriction").raise_for_status()
        withdrawn("DELETE", f"/v1/me/consents/{consent_of(withdrawn)}").raise_for_status()
        erased("DELETE", "/v1/me").raise_for_status()
    return lived


def consent_of(person: Person) -> str:
    return str(person("GET", "/v1/me/consents").json()["items"][0]["consent_id"])


def verify(service: RunningService, lived: Lived) -> str:
    lived.party.client = service.client
    answer = lived.party(
        "POST", "/v1/verifications", data={"subject_ref": lived.reference}, files={"probe": ("a.png", toy_photo(1))}
    )
    return str(answer.json()["decision"]) if answer.is_success else str(answer.status_code)


@pytest.fixture
def lived(installation: Lived, tmp_path: Path) -> Lived:
    """A copy of the installation."""
    copy = Lived(copied(installation.root, tmp_path / "service"))
    copy.people, copy.party, copy.reference = installation.people, installation.party, installation.reference
    return copy


def moved(root: Path, databases: Databases) -> None:
    move(settings_for(root, **databases.settings()), now=utc_now(), progress=lambda _work: None)


def command(root: Path, databases: Databases, *arguments: str) -> Result:
    return run_here(root, *arguments, **databases.variables())


def digests(settings: Settings) -> tuple[Digests, Digests]:
    vault = open_vault(settings)
    with unlimited_reads():
        found = tuple(table_digests(one.reader, leave_out=CODE) for one in (vault.data, vault.register.store))
    vault.close()
    return found[0], found[1]


def test_service_goes_on_where_it_was(lived: Lived, databases: Databases, pool: SharedPool) -> None:
    root, person = lived.root, lived.people[0]
    with serving(root, pool, toy_card()) as service:
        person.client = service.client
        before = person("GET", "/v1/me/access").json()
        head = service.client.get("/v1/log/checkpoint").text.splitlines()[:3]
    files = contents(root)

    done = command(root, databases, "move", "--json")

    assert done.exit_code == 0, done.output
    assert httpx.Response(200, text=done.stdout).json()["rows"] > 50
    assert contents(root).items() - files.items() == {
        (str(root / "data" / MOVED_FILE), (root / "data" / MOVED_FILE).read_bytes())
    }
    with serving(root, pool, toy_card(), **databases.settings()) as service:
        person.client = service.client
        assert service.client.get("/v1/log/checkpoint").text.splitlines()[:3] == head
        after = person("GET", "/v1/me/access").json()
        # Each access is counted.
        assert after["data"].pop("access_counts") != before["data"].pop("access_counts")
        assert after["data"] == before["data"]
        assert verify(service, lived) == "match"
        assert service.vault.codes.find_forged(service.vault.data) == []
        lived.people[1].client = service.client
        assert lived.people[1]("GET", "/v1/me").json()["restricted"] is True
        person("DELETE", f"/v1/me/consents/{consent_of(person)}").raise_for_status()
        assert verify(service, lived) == "404"
        service.enrolled(face=7, party=lived.party)


class StoppedError(BaseException):
    """The end of a process, as far as its transactions are concerned."""


def stop_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop at the step with this number."""
    passed = iter(range(1, number))

    def watch(_operation: str, _step: str) -> None:
        if next(passed, None) is None:
            raise StoppedError

    monkeypatch.setattr(crash_points, "watcher", watch)


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_an_interrupted_move_goes_on(
    lived: Lived, databases: Databases, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    expected, files = digests(settings_for(lived.root)), contents(lived.root)
    number, stops = 1, 0
    while not (lived.root / "data" / MOVED_FILE).exists():
        with monkeypatch.context() as patched:
            stop_at(number, patched)
            try:
                moved(lived.root, databases)
            except StoppedError:
                number, stops = number + stride, stops + 1
    assert stops > 14 / stride
    assert digests(settings_for(lived.root, **databases.settings())) == expected
    assert contents(lived.root).items() >= files.items()


def test_a_killed_move_goes_on(lived: Lived, databases: Databases, pool: SharedPool) -> None:
    program = """
import os, signal, sys
from app.kit import crash_points
passed = []
def watch(operation, step):
    passed.append(step)
    if len(passed) == 20:
        os.kill(os.getpid(), signal.SIGKILL)
crash_points.watcher = watch
from app.cli.program import main
sys.argv = ["mien", "move"]
main()
"""
    settings = databases.variables()
    killed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment(lived.root, **settings), check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert refused(command(lived.root, databases, "sweep"), "run `mien move`")

    assert command(lived.root, databases, "move").exit_code == 0
    with serving(lived.root, pool, toy_card(), **databases.settings()) as service:
        assert verify(service, lived) == "match"


def test_files_that_changed_since_are_not_mixed(
    lived: Lived, databases: Databases, pool: SharedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        stop_at(40, patched)
        with pytest.raises(StoppedError):
            moved(lived.root, databases)
    with serving(lived.root, pool, toy_card()) as service:
        lived.people[0].client = service.client
        lived.people[0]("DELETE", "/v1/me").raise_for_status()
    assert refused(command(lived.root, databases, "move"), "no unfinished move of these files as they are now")


def test_a_used_database_is_refused(lived: Lived, databases: Databases) -> None:
    moved(lived.root, databases)
    (lived.root / "data" / MOVED_FILE).unlink()
    assert command(lived.root, databases, "relying-party", "list").exit_code == 0
    moved(lived.root, databases)
    (lived.root / "data" / MOVED_FILE).unlink()
    added = ("relying-party", "add", "Gate", "--contact", "a", "--alternative", "b", "--purpose", "verification")
    assert command(lived.root, databases, *added).exit_code == 0
    with pytest.raises(MoveError, match="is not empty"):
        moved(lived.root, databases)


def test_a_row_that_another_program_changed_is_not_signed(lived: Lived, databases: Databases) -> None:
    with closing(sqlite3.connect(lived.root / "data" / "mien.db")) as connection, connection:
        assert connection.execute("UPDATE subjects SET spell_id = lower(hex(randomblob(16)))").rowcount
    with pytest.raises(ForgedRowError, match="subjects"):
        moved(lived.root, databases)


def test_a_row_that_differs_is_found(
    lived: Lived, databases: Databases, clusters: Clusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last table of the data.
    def spoil(_operation: str, step: str) -> None:
        if step == "mien committed" and clusters.data.sql("SELECT count(*) FROM templates", databases.name) != "0":
            clusters.data.sql("UPDATE templates SET sealed = sealed || '\\x00'", databases.name)

    monkeypatch.setattr(crash_points, "watcher", spoil)
    with pytest.raises(MoveError, match="differs from the files in templates"):
        moved(lived.root, databases)
    assert not (lived.root / "data" / MOVED_FILE).exists()


def test_a_service_that_runs_keeps_the_move_out(lived: Lived, databases: Databases) -> None:
    with in_use(lived.root / "data"), pytest.raises(InUseError):
        moved(lived.root, databases)


def test_files_that_were_moved_are_not_served(lived: Lived, databases: Databases) -> None:
    moved(lived.root, databases)
    with pytest.raises(MovedError, match="MIEN_DATABASE_URL"):
        open_vault(settings_for(lived.root))


def test_new_databases_beside_files_are_not_set_up(lived: Lived, databases: Databases) -> None:
    assert refused(command(lived.root, databases, "migrate"), "run `mien move`")


def test_old_files_are_overwritten_and_removed(lived: Lived, databases: Databases, pool: SharedPool) -> None:
    moved(lived.root, databases)
    held = [(lived.root / "data" / "mien.db").open("rb"), (lived.root / "keys" / "register.db").open("rb")]
    done = command(lived.root, databases, "move", "--remove-old", "--json")

    assert done.exit_code == 0, done.output
    for file in held:
        with file:
            assert file.read().strip(b"\0") == b""
    left = {path.name for path in lived.root.rglob("*") if path.is_file()}
    assert not {name for name in left if name.startswith(("mien.", "register."))}
    assert "kek" in left
    with serving(lived.root, pool, toy_card(), **databases.settings()) as service:
        assert verify(service, lived) == "match"
    assert refused(command(lived.root, databases, "move"), "there is no SQLite data")


def test_old_files_stay_if_the_databases_are_others(lived: Lived, databases: Databases, clusters: Clusters) -> None:
    moved(lived.root, databases)
    other = clusters.create()
    shutil.copytree(lived.root, lived.root.with_name("other"))
    shutil.rmtree(lived.root.with_name("other") / "data")
    shutil.rmtree(lived.root.with_name("other") / "keys")
    assert command(lived.root.with_name("other"), other, "migrate").exit_code == 0
    shutil.copytree(lived.root / "data", lived.root.with_name("other") / "data", dirs_exist_ok=True)
    assert command(lived.root.with_name("other"), other, "move", "--remove-old").exit_code == 1
    assert (lived.root.with_name("other") / "data" / "mien.db").exists()
    clusters.drop(other)
