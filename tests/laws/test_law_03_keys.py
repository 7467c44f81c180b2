"""Law 3: a key per grant and a key per person. Old backups hold only noise of what ended.

An old copy of the data directory is opened from outside, with every key that the register still holds.
"""

import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import event

from app.jobs.maintenance import run_maintenance
from app.rights import erasure
from app.rights.tables import ErasureStatus
from app.subjects import service as subjects
from app.vault.open import open_vault
from tests.support.byte_scan import Needles, copied_data, files_under, live_keys, openable, rows, slots
from tests.support.service_fixture import Party, Person, RunningService, enrol, settings_for
from tests.support.toy_faces import toy_photo

HERS = {"subjects", "consent_events", "entries", "receipts"}
"""What is sealed under a person's own key, and stays when a consent ends."""


def kept(service: RunningService, face: int, party: Party) -> tuple[Person, dict[str, str]]:
    """Enrol somebody with their photos kept; return them and their consents' ids."""
    person = service.person()
    consents = {
        "verification": str(service.consent(person, party)["consent_id"]),
        "renewal": str(service.consent(person, None, "template_renewal")["consent_id"]),
    }
    photos = [toy_photo(face), toy_photo(face, variant=2)]
    assert enrol(person, [consents["verification"]], photos, keep_photos="true").status_code == 201
    return person, consents


def belonging_to(database: Path, person: Person) -> set[tuple[str, UUID]]:
    """Return the person's sealed rows in *database*."""
    subject = UUID(person.subject_id).hex
    owned = ("templates", "photos", "consent_events", "comparisons", "entries", "receipts")
    queries = [(name, f"SELECT id FROM {name} WHERE subject_id = ?") for name in owned]  # noqa: S608 - our own names
    queries.append(("subjects", "SELECT id FROM subjects WHERE id = ?"))
    return {(name, UUID(row[0])) for name, query in queries for row in rows(database, query, subject)}


def test_every_sealed_row_of_an_old_copy_opens_while_all_is_in_force(service: RunningService, tmp_path: Path) -> None:
    """The control: the way of opening works, for every kind of row."""
    person, _ = kept(service, 1, service.party())
    old = copied_data(service.root / "data", tmp_path / "old")
    opened = openable(old, live_keys(service.root, old))

    assert set(opened) == belonging_to(old, person)
    assert {table for table, _ in opened} == {"templates", "photos", *HERS}


def test_of_a_withdrawn_grant_nothing_in_an_old_copy_opens(service: RunningService, tmp_path: Path) -> None:
    party = service.party()
    ada, consents = kept(service, 1, party)
    ben, _ = kept(service, 2, party)
    old = copied_data(service.root / "data", tmp_path / "old")

    assert ada("DELETE", f"/v1/me/consents/{consents['verification']}").status_code == 200
    opened = set(openable(old, live_keys(service.root, old)))
    hers = {one for one in belonging_to(old, ada) if one[0] != "templates"}

    assert opened == hers | belonging_to(old, ben)


def test_of_an_erased_person_nothing_in_an_old_copy_opens_and_of_others_everything(
    service: RunningService, tmp_path: Path
) -> None:
    party = service.party()
    ada, _ = kept(service, 1, party)
    ben, _ = kept(service, 2, party)
    old = copied_data(service.root / "data", tmp_path / "old")

    assert ada("DELETE", "/v1/me").json()["status"] == "completed"

    assert set(openable(old, live_keys(service.root, old))) == belonging_to(old, ben)
    assert len(slots(service.root)) == len(live_keys(service.root)), "there is no key but of those who are here"


def test_of_an_expired_grant_nothing_in_an_old_copy_opens(service: RunningService, tmp_path: Path) -> None:
    ada, _ = kept(service, 1, service.party())
    old = copied_data(service.root / "data", tmp_path / "old")
    service.clock.advance(days=400)

    from_sweep = run_maintenance(service.vault, settings=service.settings, now=service.clock())
    opened = {table for table, _ in openable(old, live_keys(service.root, old))}

    assert from_sweep.expired == 2
    assert opened == HERS
    assert ada("GET", "/v1/me").json()["display_name"] == "Ada Canary"


def test_of_a_replaced_template_nothing_in_an_old_copy_opens(service: RunningService, tmp_path: Path) -> None:
    person, consents = kept(service, 1, service.party())
    old = copied_data(service.root / "data", tmp_path / "old")
    before = {key.wrapped for key in live_keys(service.root) if key.owner != UUID(person.subject_id)}

    again = enrol(person, [consents["verification"]], [toy_photo(1, variant=3)], keep_photos="true")
    keys = live_keys(service.root)

    assert again.status_code == 201
    assert {table for table, _ in openable(old, keys)} == HERS
    assert {"templates", "photos"} <= {table for table, _ in openable(service.vault.data.path, keys)}
    assert not Needles().raw("key", *before).found(service.files())


def test_photos_that_a_new_enrolment_does_not_keep_open_in_no_old_copy(service: RunningService, tmp_path: Path) -> None:
    person, consents = kept(service, 1, service.party())
    old = copied_data(service.root / "data", tmp_path / "old")

    assert enrol(person, [consents["verification"]], [toy_photo(1, variant=3)]).status_code == 201
    opened = {table for table, _ in openable(old, live_keys(service.root, old))}

    assert opened == HERS
    assert not rows(service.vault.data.path, "SELECT id FROM photos")


def test_of_a_deleted_enrolment_nothing_in_an_old_copy_opens_and_enrolling_again_works(
    service: RunningService, tmp_path: Path
) -> None:
    person, consents = kept(service, 1, service.party())
    old = copied_data(service.root / "data", tmp_path / "old")
    (enrolment,) = person("GET", "/v1/me/enrolments").json()["items"]

    assert person("DELETE", f"/v1/me/enrolments/{enrolment['enrolment_id']}").status_code == 200
    opened = {table for table, _ in openable(old, live_keys(service.root, old))}
    again = enrol(person, [consents["verification"]], [toy_photo(1)], keep_photos="true")

    assert opened == HERS
    assert again.status_code == 201


def test_each_grant_and_each_person_has_a_key_of_its_own(service: RunningService) -> None:
    party = service.party()
    for face in (1, 2):
        kept(service, face, party)
    owners = {key.owner for key in live_keys(service.root)}
    grants = {UUID(row[0]) for row in rows(service.vault.data.path, "SELECT id FROM grants")}
    people = {UUID(row[0]) for row in rows(service.vault.data.path, "SELECT id FROM subjects")}

    assert owners == grants | people
    assert len(grants) == 4
    assert len({wrapped for _, _, wrapped in slots(service.root)}) == len(slots(service.root))


COMPLETED = ErasureStatus.COMPLETED
SEED = 7
"""With it a page of the register is rebuilt over rows that are erased later."""


def test_no_page_of_the_stores_keeps_a_copy_of_what_many_erasures_deleted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`secure_delete` overwrites a deleted row where it lies, not the copies that SQLite left when it moved it.

    When a b-tree page is split or merged, its cells are copied to other pages, and the page that they came from keeps
    them between its pointers and its content.
    """
    chance = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    for module in (subjects, erasure):
        monkeypatch.setattr(module, "uuid4", lambda: UUID(int=chance.getrandbits(128), version=4))
    vault, now = open_vault(settings_for(root)), datetime.now(UTC)
    for store in (vault.data, vault.register.store):
        # Nobody cuts the power here, and a thousand commits take long.
        event.listen(store.writer, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    people = [subjects.register(vault, display_name=f"Name {n}", now=now).subject_id for n in range(200)]
    wrapped = {key.owner: key.wrapped for key in live_keys(root)}
    gone = []
    for _ in range(160):
        gone.append(people.pop(chance.randrange(len(people))))
        assert erasure.erase(vault, subject_id=gone[-1], settings=settings_for(root), now=now).status is COMPLETED
    needles = Needles().raw("wrapped key", *(wrapped[one] for one in gone))
    needles.raw("subject id", *(one.hex.encode() for one in gone))
    there = Needles().raw("wrapped key", wrapped[people[0]])
    left = needles.found(files_under(root))

    assert there.found(files_under(root)) == ["wrapped key in register.db"]
    assert not left


@pytest.mark.service
def test_secure_delete_alone_leaves_copies_of_moved_rows(tmp_path: Path) -> None:
    """Why emptying the log is not enough: the control, with nothing but SQLite."""
    chance, path = random.Random(218), tmp_path / "plain.db"  # noqa: S311 - repeatable on purpose
    ids = [chance.randbytes(16).hex() for _ in range(200)]
    secrets = {one: chance.randbytes(60) for one in ids}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("CREATE TABLE keys (kind TEXT, id TEXT, n INT, secret BLOB, PRIMARY KEY (kind, id, n))")
        connection.execute("CREATE TABLE stones (digest BLOB PRIMARY KEY, ended TEXT)")
        for one in ids:
            connection.execute("INSERT INTO keys VALUES ('subject', ?, 1, ?)", (one, secrets[one]))
        gone = []
        for _ in range(160):
            gone.append(ids.pop(chance.randrange(len(ids))))
            connection.execute("BEGIN")
            connection.execute("DELETE FROM keys WHERE id = ?", (gone[-1],))
            for _stone in range(3):
                connection.execute("INSERT INTO stones VALUES (?, 'revoked')", (chance.randbytes(32),))
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        left = sum(secrets[one] in path.read_bytes() for one in gone)
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        after = sum(secrets[one] in path.read_bytes() for one in gone)

    assert left > 0, "SQLite has learnt to overwrite them: is `VACUUM` still needed?"
    assert after == 0
