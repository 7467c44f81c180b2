"""Law 6: `completed` is reported only when every store has confirmed.

When a store fails at any step, the erasure stays in progress and the subject is out of matching already. A maintenance
run or a restart completes it, once.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, OperationalError

from app.db.store import Store
from app.jobs.maintenance import run_maintenance
from tests.support.byte_scan import Needles, rows, slots
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until
from tests.vault.disk import IMPATIENT, full_disk

Failing = Callable[[RunningService], "AbstractFailure"]


class AbstractFailure:
    """A failure of a store that lasts until `mend`."""

    calls = 0
    """How often the failing method was called."""

    def mend(self) -> None:
        """End the failure."""


class Patched(AbstractFailure):
    """A replaced method; counts its calls."""

    def __init__(self, owner: object, name: str, other: Callable[..., object]) -> None:
        self._owner, self._name = owner, name

        def counted(*args: object, **named: object) -> object:
            self.calls += 1
            return other(*args, **named)

        setattr(owner, name, counted)

    def mend(self) -> None:
        """Restore the method."""
        delattr(self._owner, self._name)


def locked() -> OperationalError:
    return OperationalError("", None, sqlite3.OperationalError("database is locked"))


def _fail(*_args: object, **_named: object) -> NoReturn:
    raise locked()


def data_log_is_held_up(service: RunningService) -> AbstractFailure:
    return Patched(service.vault.data, "checkpoint", lambda **_named: False)


def register_log_is_held_up(service: RunningService) -> AbstractFailure:
    return Patched(service.vault.register.store, "checkpoint", lambda **_named: False)


def data_cannot_be_rebuilt(service: RunningService) -> AbstractFailure:
    return Patched(service.vault.data, "rebuild", lambda **_named: False)


class FullDisk(AbstractFailure):
    """The write-ahead log can grow; the database file cannot."""

    def __init__(self, store: Store) -> None:
        self._full = full_disk(store)
        self._full.__enter__()

    def mend(self) -> None:
        """Free the disk."""
        self._full.__exit__(None, None, None)


def data_disk_is_full(service: RunningService) -> AbstractFailure:
    return FullDisk(service.vault.data)


def register_refuses(service: RunningService) -> AbstractFailure:
    return Patched(service.vault.register, "end", _fail)


class FailingCommit(AbstractFailure):
    """The data store cannot commit while *armed* is true."""

    def __init__(self, store: Store, armed: Callable[[], bool]) -> None:
        self._store, self._armed = store, armed
        self._listener = self._on_commit
        event.listen(store.writer, "commit", self._listener)

    def _on_commit(self, _connection: Connection) -> None:
        if self._armed():
            raise locked()

    def mend(self) -> None:
        """Allow commits."""
        event.remove(self._store.writer, "commit", self._listener)


def data_commit_fails(service: RunningService) -> AbstractFailure:
    before = len(slots(service.root))
    return FailingCommit(service.vault.data, lambda: len(slots(service.root)) < before)


class Reader(AbstractFailure):
    """A long read transaction from outside the service."""

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(database, isolation_level=None)
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def mend(self) -> None:
        """End the transaction."""
        self._connection.close()


def data_is_read(service: RunningService) -> AbstractFailure:
    return Reader(in_file(service.vault.data).path)


def register_is_read(service: RunningService) -> AbstractFailure:
    return Reader(in_file(service.vault.register.store).path)


FAILURES = (
    data_log_is_held_up,
    register_log_is_held_up,
    data_cannot_be_rebuilt,
    data_disk_is_full,
    register_refuses,
    data_commit_fails,
    data_is_read,
    register_is_read,
)


@pytest.fixture
def impatient(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """Serve with short waits for databases, and no maintenance runs but those of the test."""
    with serving(root, pool, toy_card(), background=False, **IMPATIENT) as running:
        yield running


@contextmanager
def broken(service: RunningService, failing: Failing) -> Iterator[AbstractFailure]:
    failure = failing(service)
    try:
        yield failure
    finally:
        failure.mend()


def statuses(service: RunningService) -> list[tuple[str, str | None]]:
    """Read the state and the day of completion of every erasure from the database."""
    query = "SELECT CASE step WHEN 'completed' THEN step ELSE 'in_progress' END, completed_on FROM erasures"
    return [(row[0], row[1]) for row in rows(in_file(service.vault.data).path, query)]


def held_up(service: RunningService, failing: Failing) -> tuple[Person, Party, str, httpx.Response]:
    """Enrol a person who asks for erasure during a failure."""
    person, party, consent = service.enrolled(face=1)
    with broken(service, failing):
        answer = person("DELETE", "/v1/me")
        assert answer.status_code == 202, answer.text
        assert statuses(service) == [("in_progress", None)]
    return person, party, consent["subject_ref"], answer


@pytest.mark.parametrize("failing", FAILURES)
def test_erasure_that_is_held_up_says_so_and_is_completed_once_the_store_is_back(
    impatient: RunningService, failing: Failing
) -> None:
    person, party, subject_ref, answer = held_up(impatient, failing)
    needles, location = Needles().id("subject", person.subject_id), answer.headers["Location"]
    state = impatient.client.get(location).json()
    verified = party.verify(subject_ref, toy_photo(1))
    recovered = impatient.client.post("/v1/recoveries", json={"recovery_code": person.recovery_code})
    locked_out = [person("GET", "/v1/me").status_code, person("DELETE", "/v1/me").status_code, recovered.status_code]
    known = party("GET", "/v1/relying-party/subjects").json()["items"]
    swept = [
        run_maintenance(impatient.vault, settings=impatient.settings, now=impatient.clock()).erasures_completed
        for _ in range(2)
    ]
    done = statuses(impatient)
    impatient.clock.advance(days=3)
    later = run_maintenance(impatient.vault, settings=impatient.settings, now=impatient.clock()).erasures_completed

    assert (answer.json()["status"], answer.json()["completed_on"]) == ("in_progress", None)
    assert (state["status"], location) == ("in_progress", f"/v1/erasures/{answer.json()['erasure_id']}")
    assert (verified.status_code, verified.json()["type"]) == (404, "urn:mien:problem:no-such-consent")
    assert (locked_out, known) == ([401] * 3, [])
    assert (swept, later) == ([1, 0], 0), "once"
    assert [one for one, _ in done] == ["completed"]
    assert statuses(impatient) == done, "the day of completion does not change"
    assert impatient.client.get(location).json()["status"] == "completed"
    assert not needles.found(impatient.files())
    assert not slots(impatient.root)


@pytest.mark.parametrize("failing", [data_cannot_be_rebuilt, register_refuses, data_commit_fails, data_disk_is_full])
def test_maintenance_leaves_it_in_progress_while_the_store_still_fails(
    impatient: RunningService, failing: Failing
) -> None:
    person, _, _ = impatient.enrolled(face=1)
    with broken(impatient, failing):
        answer = person("DELETE", "/v1/me")
        # A run may raise the store's error; the maintenance thread goes on (see below).
        with suppress(DBAPIError):
            run_maintenance(impatient.vault, settings=impatient.settings, now=impatient.clock())
        state = impatient.client.get(answer.headers["Location"]).json()["status"]

    assert state == "in_progress"
    assert run_maintenance(impatient.vault, settings=impatient.settings, now=impatient.clock()).erasures_completed == 1


@pytest.mark.parametrize("failing", [register_refuses, data_commit_fails, data_log_is_held_up])
def test_restart_completes_it_by_itself(root: Path, pool: SharedPool, failing: Failing) -> None:
    with serving(root, pool, toy_card(), **IMPATIENT) as first:
        _, party, subject_ref, answer = held_up(first, failing)
    with serving(root, pool, toy_card(), **IMPATIENT, sweep_interval_s=0.1) as second:
        unmatched = Party(second.client, party.id, party.key).verify(subject_ref, toy_photo(1))
        wait_until_completed(second, answer.headers["Location"])

    assert unmatched.status_code == 404


def wait_until_completed(service: RunningService, location: str) -> None:
    wait_until(lambda: bool(service.client.get(location).json()["status"] == "completed"))


def test_service_that_runs_on_completes_it_by_itself(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), **IMPATIENT, sweep_interval_s=0.1) as service:
        person, _, _ = service.enrolled(face=1)
        with broken(service, register_refuses) as failure:
            answer = person("DELETE", "/v1/me")
            calls = failure.calls
            # A maintenance run has failed when the next one fails.
            wait_until(lambda: failure.calls >= calls + 2)
            meanwhile = service.client.get(answer.headers["Location"]).json()["status"]
        wait_until_completed(service, answer.headers["Location"])

    assert (answer.status_code, meanwhile) == (202, "in_progress")


def test_consent_that_expires_meanwhile_does_not_hold_the_erasure_up(impatient: RunningService) -> None:
    """The subject's key is destroyed, their rows are not deleted yet: the expiry of a consent must not fail."""
    held_up(impatient, data_commit_fails)
    impatient.clock.advance(days=400)
    impatient.vault.unfinished = False  # as in another process, which does not know of the failed commit

    swept = run_maintenance(impatient.vault, settings=impatient.settings, now=impatient.clock())

    assert swept.erasures_completed == 1
    assert [state for state, _ in statuses(impatient)] == ["completed"]


def test_maintenance_thread_survives_an_unexpected_error(root: Path, pool: SharedPool) -> None:
    """No kind of error may end the thread that completes erasures."""
    with serving(root, pool, toy_card(), **IMPATIENT, sweep_interval_s=0.05) as service:
        person, _, _ = service.enrolled(face=1)
        with broken(service, register_refuses):
            answer = person("DELETE", "/v1/me")

        def out_of_connections(**_named: object) -> NoReturn:
            raise RuntimeError("not an error of a database")

        failure = Patched(service.vault.register.store, "checkpoint", out_of_connections)
        wait_until(lambda: failure.calls >= 2)
        failure.mend()
        wait_until_completed(service, answer.headers["Location"])


def test_failure_before_anything_was_written_changes_nothing(impatient: RunningService) -> None:
    person, party, consent = impatient.enrolled(face=1)
    failure = FailingCommit(impatient.vault.data, lambda: True)
    answer = person("DELETE", "/v1/me")
    failure.mend()

    assert (answer.status_code, answer.json()["type"]) == (503, "urn:mien:problem:storage-unavailable")
    assert statuses(impatient) == []
    assert person("GET", "/v1/me").status_code == 200
    assert party.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] == "match"


def test_unknown_erasure_is_not_found(service: RunningService) -> None:
    assert service.client.get(f"/v1/erasures/{UUID(int=1)}").status_code == 404


def test_completed_erasure_keeps_its_listed_data_and_no_more(service: RunningService) -> None:
    person, _, _ = service.enrolled(face=1)
    erasure = person("DELETE", "/v1/me").json()
    stones = rows(
        in_file(service.vault.register.store).path,
        "SELECT kind, ended_as, length(digest) FROM tombstones WHERE kind != 'rows_without_code'",
    )
    kept = rows(in_file(service.vault.data).path, "SELECT id, subject_id, step, held, requested_on FROM erasures")

    assert sorted(stones) == [
        ("grant", "erased", 32),
        ("subject", "erased", 32),
        ("token", "revoked", 32),
        ("token", "revoked", 32),
    ]
    assert [(UUID(row[0]), *row[1:4]) for row in kept] == [(UUID(erasure["erasure_id"]), None, "completed", None)]


def everything_of(service: RunningService, person: Person) -> dict[str, list[tuple[object, ...]]]:
    """Read every row with the person's id from the database file."""
    found = {}
    path = in_file(service.vault.data).path
    for (table,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = [row[1] for row in rows(path, f"PRAGMA table_info({table})")]
        owner = "id" if table == "subjects" else "subject_id" if "subject_id" in columns else None
        if owner is not None:
            query = f"SELECT * FROM {table} WHERE {owner} = ? ORDER BY 1"  # noqa: S608 - names from the schema
            found[table] = rows(path, query, UUID(person.subject_id).hex)
    return found


def test_erasing_one_person_does_not_touch_another(service: RunningService) -> None:
    ada, party, _ = service.enrolled(face=1)
    ben, _, consent = service.enrolled(face=2, party=party)
    party.verify(consent["subject_ref"], toy_photo(2))
    before, hers = everything_of(service, ben), everything_of(service, ada)

    ada("DELETE", "/v1/me")

    assert everything_of(service, ben) == before
    assert {name for name, found in before.items() if found} >= {
        "subjects",
        "templates",
        "tokens",
        "comparisons",
    }
    assert any(hers.values())
    assert not any(everything_of(service, ada).values())
    assert party.verify(consent["subject_ref"], toy_photo(2)).json()["decision"] == "match"


def test_large_store_is_completed_at_once_and_its_unused_space_is_listed(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), rebuild_at_once_mib=0, rebuild_after_days=2) as service:
        person, _, _ = service.enrolled(face=1)
        erased = person("DELETE", "/v1/me").json()
        address = f"/v1/erasures/{erased['erasure_id']}"
        run_maintenance(service.vault, settings=service.settings, now=service.clock())
        early = service.client.get(address).json()
        service.clock.advance(days=3)
        run_maintenance(service.vault, settings=service.settings, now=service.clock())
        late = service.client.get(address).json()

    assert erased["status"] == "completed"
    assert "unused space of the database file" in {one["what"] for one in early["kept"]}
    assert {one["what"] for one in late["kept"]} == {
        "tombstones",
        "this erasure",
        "leaves of the transparency log",
        "proofs of consent",
    }
