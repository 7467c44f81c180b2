"""The order of the two stores: a new key commits before its row, and an end commits in the register first.

An interrupted change is completed later.

`docs/explanation/architecture.md`: data may go back in time, the register never does. `tests/crash` has the
points at which a process can die.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from app.jobs.maintenance import purge_dead_rows, run_maintenance
from app.kit.clock import utc_now
from app.subjects.tables import Subject
from app.vault.open import open_vault
from app.vault.register import Ended, KeyGoneError, Owner
from app.vault.tables import EndedKind, OwnerKind
from app.vault.vault import Vault
from tests.support.byte_scan import Needles, copied_data, live_keys, openable, rows
from tests.support.changed_schema import accept_any_schema
from tests.support.service_fixture import RunningService, SharedPool, enrol, serving, settings_for
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.vault.disk import IMPATIENT, full_disk


@pytest.fixture
def vault(root: Path) -> Iterator[Vault]:
    opened = open_vault(settings_for(root))
    yield opened
    opened.close()


@pytest.fixture
def hasty(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """Serve with a short busy time."""
    with serving(root, pool, toy_card(), **IMPATIENT) as running:
        yield running


def keys_of(vault: Vault, owner: UUID) -> list[int]:
    """Return the generations in the register, straight from its file."""
    digests = [Owner(kind, owner).digest for kind in OwnerKind]
    marks = ", ".join("?" * len(digests))
    query = f"SELECT generation, wrapped FROM keys WHERE owner IN ({marks}) ORDER BY generation"  # noqa: S608 - only marks
    return [row[0] for row in rows(in_file(vault.register.store).path, query, *digests) if any(row[1])]


def add_subject(vault: Vault, subject_id: UUID) -> None:
    with vault.change() as change:
        change.issue(Owner.subject(subject_id))
        change.session.add(Subject(id=subject_id, registered_on=date(2026, 1, 1), sealed_name=None, erasing=False))


# --- Giving


def test_key_is_committed_before_the_row(vault: Vault) -> None:
    subject_id, seen = uuid4(), []

    def on_commit(_connection: Connection) -> None:
        seen.append((keys_of(vault, subject_id), rows(in_file(vault.data).path, "SELECT count(*) FROM subjects")))

    event.listen(vault.data.writer, "commit", on_commit)
    add_subject(vault, subject_id)

    assert seen == [([1], [(0,)])]
    assert rows(in_file(vault.data).path, "SELECT count(*) FROM subjects") == [(1,)]


def test_block_that_raises_leaves_neither_rows_nor_keys(vault: Vault) -> None:
    subject_id, standing = uuid4(), uuid4()
    add_subject(vault, standing)
    with suppress(ZeroDivisionError), vault.change() as change:
        change.issue(Owner.subject(subject_id))
        change.session.execute(text("DELETE FROM subjects"))
        change.end(EndedKind.SUBJECT, standing, ended_as="erased", on=date(2026, 1, 1))
        raise ZeroDivisionError

    assert keys_of(vault, subject_id) == []
    assert keys_of(vault, standing) == [1], "the end was rolled back"
    assert rows(in_file(vault.data).path, "SELECT id FROM subjects") == [(standing.hex,)]
    assert rows(
        in_file(vault.register.store).path, "SELECT count(*) FROM tombstones WHERE kind != 'rows_without_code'"
    ) == [(0,)]


def test_refused_rows_leave_no_keys(vault: Vault) -> None:
    standing = uuid4()
    add_subject(vault, standing)
    with suppress(IntegrityError), vault.change() as change:
        change.issue(Owner.subject(standing))
        change.session.execute(text("INSERT INTO subjects SELECT * FROM subjects"))

    assert keys_of(vault, standing) == [1]


def test_crash_between_key_and_row_leaves_an_unused_key(vault: Vault, root: Path) -> None:
    """No row uses it; the next key of the same owner gets another generation."""
    owner = Owner.grant(uuid4())
    first = vault.register.issue(owner)
    second = vault.register.issue(owner)

    assert (first, second) == (1, 2)
    assert purge_dead_rows(vault, settings=settings_for(root), now=utc_now()) == 0


# --- Ending


@contextmanager
def failing_commit(vault: Vault, owner: UUID) -> Iterator[None]:
    """Let the data store fail to commit once *owner* has no key left."""

    def on_commit(_connection: Connection) -> None:
        if not keys_of(vault, owner):
            raise OperationalError("", None, sqlite3.OperationalError("disk I/O error"))

    event.listen(vault.data.writer, "commit", on_commit)
    yield
    event.remove(vault.data.writer, "commit", on_commit)


def test_register_commits_before_the_data(vault: Vault) -> None:
    subject_id, seen = uuid4(), []
    add_subject(vault, subject_id)

    def on_commit(_connection: Connection) -> None:
        stones = rows(
            in_file(vault.register.store).path,
            "SELECT kind, ended_as FROM tombstones WHERE kind != 'rows_without_code'",
        )
        seen.append(
            (keys_of(vault, subject_id), stones, rows(in_file(vault.data).path, "SELECT count(*) FROM subjects"))
        )

    event.listen(vault.data.writer, "commit", on_commit)
    with vault.change() as change:
        change.session.execute(text("DELETE FROM subjects"))
        change.end(EndedKind.SUBJECT, subject_id, ended_as="erased", on=date(2026, 1, 1))

    assert seen == [([], [("subject", "erased")], [(1,)])]
    assert rows(in_file(vault.data).path, "SELECT count(*) FROM subjects") == [(0,)]


def test_store_works_after_a_failed_commit(vault: Vault) -> None:
    """A failed COMMIT that SQLite does not undo by itself must not block the next writer."""
    accept_any_schema(vault.data)
    with vault.data.write() as session:
        session.execute(text("CREATE TABLE one (id INTEGER PRIMARY KEY)"))
        session.execute(text("CREATE TABLE two (one INTEGER REFERENCES one DEFERRABLE INITIALLY DEFERRED)"))
    with pytest.raises(IntegrityError), vault.data.write() as session:
        session.execute(text("INSERT INTO two VALUES (5)"))
    with vault.data.write() as session:
        session.execute(text("INSERT INTO one VALUES (6)"))

    assert rows(in_file(vault.data).path, "SELECT count(*) FROM one") == [(1,)]
    assert rows(in_file(vault.data).path, "SELECT count(*) FROM two") == [(0,)]


def test_withdrawal_whose_commit_fails_is_finished_by_the_next_maintenance_run(service: RunningService) -> None:
    person, party, given = service.enrolled(face=1)
    _, _, others = service.enrolled(face=2, party=party)
    with failing_commit(service.vault, UUID(given["consent_id"])):
        answer = person("DELETE", f"/v1/me/consents/{given['consent_id']}")
        meanwhile = party.verify(given["subject_ref"], toy_photo(1))
    run_maintenance(service.vault, settings=service.settings, now=service.clock())
    decisions = person("GET", "/v1/me/consents").json()

    assert (answer.status_code, meanwhile.status_code) == (503, 404)
    assert [one["state"] for one in decisions["items"]] == ["withdrawn", "given"]
    assert decisions["in_force"] == []
    assert not rows(
        in_file(service.vault.data).path, "SELECT id FROM grants WHERE id = ?", UUID(given["consent_id"]).hex
    )
    assert party.verify(others["subject_ref"], toy_photo(2)).json()["decision"] == "match"


def test_maintenance_run_that_fails_leaves_it_to_the_next(service: RunningService) -> None:
    person, party, given = service.enrolled(face=1)
    with failing_commit(service.vault, UUID(given["consent_id"])):
        person("DELETE", f"/v1/me/consents/{given['consent_id']}")
        with suppress(DBAPIError):
            run_maintenance(service.vault, settings=service.settings, now=service.clock())
    run_maintenance(service.vault, settings=service.settings, now=service.clock())
    decisions = person("GET", "/v1/me/consents").json()

    assert [one["state"] for one in decisions["items"]] == ["withdrawn", "given"]
    assert party.verify(given["subject_ref"], toy_photo(1)).status_code == 404


def test_withdrawal_whose_commit_fails_can_be_repeated(service: RunningService) -> None:
    person, party, given = service.enrolled(face=1)
    with failing_commit(service.vault, UUID(given["consent_id"])):
        person("DELETE", f"/v1/me/consents/{given['consent_id']}")
    answer = person("DELETE", f"/v1/me/consents/{given['consent_id']}")

    assert (answer.status_code, answer.json()["state"]) == (200, "withdrawn")
    assert party.verify(given["subject_ref"], toy_photo(1)).status_code == 404


# --- Replaced keys


def test_old_keys_that_could_not_be_destroyed_go_with_the_next_maintenance_run(
    service: RunningService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    person, _, given = service.enrolled(face=1)
    old = copied_data(service.root / "data", tmp_path / "old")

    def locked(*_given: object, **_named: object) -> None:
        raise OperationalError("", None, sqlite3.OperationalError("database is locked"))

    with monkeypatch.context() as patched:
        patched.setattr(service.vault.register, "drop_old_keys", locked)
        enrol(person, [given["consent_id"]], [toy_photo(1, variant=3)])
    run_maintenance(service.vault, settings=service.settings, now=service.clock())

    assert "templates" not in {table for table, _ in openable(old, live_keys(service.root, old))}


# --- Checkpoints


def test_reader_that_blocks_the_checkpoint_is_reported(hasty: RunningService) -> None:
    person, _, given = hasty.enrolled(face=1)
    (mine,) = rows(in_file(hasty.vault.data).path, "SELECT sealed FROM templates")
    needles = Needles().photo("template", mine[0])
    with closing(sqlite3.connect(in_file(hasty.vault.data).path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM templates").fetchone()
        held_up = person("DELETE", f"/v1/me/consents/{given['consent_id']}")
        there = needles.found(hasty.files())
    run_maintenance(hasty.vault, settings=hasty.settings, now=hasty.clock())

    assert (held_up.status_code, held_up.json()["erased_from_disk"]) == (200, False)
    assert there, "the answer was true: bytes were still there"
    assert not needles.found(hasty.files()), "a maintenance run removes them"


def test_full_disk_after_the_commit_does_not_undo_the_withdrawal(service: RunningService) -> None:
    person, party, given = service.enrolled(face=1)
    with full_disk(service.vault.data):
        answer = person("DELETE", f"/v1/me/consents/{given['consent_id']}")

    assert party.verify(given["subject_ref"], toy_photo(1)).status_code == 404
    assert (answer.status_code, answer.json().get("erased_from_disk")) == (200, False)


def test_enrolling_does_not_revive_a_dead_row(service: RunningService) -> None:
    """The consent has ended once its tombstone is written, with or without its row."""
    person, party, given = service.enrolled(face=1)
    # As by a withdrawal whose data commit then failed.
    ended = Ended(EndedKind.GRANT, UUID(given["consent_id"]), "withdrawn", service.clock().date())
    service.vault.register.end([ended])

    enrolled = enrol(person, [given["consent_id"]], [toy_photo(1)])
    verified = party.verify(given["subject_ref"], toy_photo(1))

    assert (enrolled.status_code, verified.status_code) == (403, 404)
    with pytest.raises(KeyGoneError):
        service.vault.register.key(Owner.grant(UUID(given["consent_id"])))
