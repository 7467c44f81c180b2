"""Law 3: a key for each grant and each person. Rows of ended consents do not open in old backups.

The tests open an old copy of the data directory with every key that the register still has.
"""

import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from app.jobs.maintenance import run_maintenance
from app.rights import erasure
from app.rights.tables import ErasureStatus
from app.subjects import service as subjects
from app.vault.open import open_vault
from tests.support.byte_scan import Needles, copied_data, files_under, live_keys, openable, rows, slots
from tests.support.service_fixture import Party, Person, RunningService, enrol, settings_for, skip_fsync
from tests.support.sqlite_stores import in_file
from tests.support.toy_faces import toy_photo

SUBJECT_TABLES = {"subjects", "consent_events", "entries", "receipts"}
"""Tables sealed under the subject's own key, which stays when a consent ends."""


def enrol_with_photos(service: RunningService, face: int, party: Party) -> tuple[Person, dict[str, str]]:
    """Enrol a person and keep their photos. Returns the person and the ids of their consents."""
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
    """The control: every kind of row opens."""
    person, _ = enrol_with_photos(service, 1, service.party())
    old = copied_data(service.root / "data", tmp_path / "old")
    opened = openable(old, live_keys(service.root, old))

    assert set(opened) == belonging_to(old, person)
    assert {table for table, _ in opened} == {"templates", "photos", *SUBJECT_TABLES}


def test_no_row_of_a_withdrawn_grant_opens_in_an_old_copy(service: RunningService, tmp_path: Path) -> None:
    party = service.party()
    ada, consents = enrol_with_photos(service, 1, party)
    ben, _ = enrol_with_photos(service, 2, party)
    old = copied_data(service.root / "data", tmp_path / "old")

    assert ada("DELETE", f"/v1/me/consents/{consents['verification']}").status_code == 200
    opened = set(openable(old, live_keys(service.root, old)))
    # The photos end too: no template is left that they could renew.
    still_open = {one for one in belonging_to(old, ada) if one[0] not in {"templates", "photos"}}

    assert opened == still_open | belonging_to(old, ben)


def test_no_row_of_an_erased_person_opens_in_an_old_copy_and_every_other_row_does(
    service: RunningService, tmp_path: Path
) -> None:
    party = service.party()
    ada, _ = enrol_with_photos(service, 1, party)
    ben, _ = enrol_with_photos(service, 2, party)
    old = copied_data(service.root / "data", tmp_path / "old")

    assert ada("DELETE", "/v1/me").json()["status"] == "completed"

    assert set(openable(old, live_keys(service.root, old))) == belonging_to(old, ben)
    assert len(slots(service.root)) == len(live_keys(service.root)), "only the other person has keys"


def test_no_row_of_an_expired_grant_opens_in_an_old_copy(service: RunningService, tmp_path: Path) -> None:
    ada, _ = enrol_with_photos(service, 1, service.party())
    old = copied_data(service.root / "data", tmp_path / "old")
    service.clock.advance(days=400)

    from_sweep = run_maintenance(service.vault, settings=service.settings, now=service.clock())
    opened = {table for table, _ in openable(old, live_keys(service.root, old))}

    assert from_sweep.expired == 2
    assert opened == SUBJECT_TABLES
    assert ada("GET", "/v1/me").json()["display_name"] == "Ada Canary"


def test_no_replaced_template_opens_in_an_old_copy(service: RunningService, tmp_path: Path) -> None:
    person, consents = enrol_with_photos(service, 1, service.party())
    old = copied_data(service.root / "data", tmp_path / "old")
    before = {key.wrapped for key in live_keys(service.root) if key.owner != UUID(person.subject_id)}

    again = enrol(person, [consents["verification"]], [toy_photo(1, variant=3)], keep_photos="true")
    keys = live_keys(service.root)

    assert again.status_code == 201
    assert {table for table, _ in openable(old, keys)} == SUBJECT_TABLES
    assert {"templates", "photos"} <= {table for table, _ in openable(in_file(service.vault.data).path, keys)}
    assert not Needles().raw("key", *before).found(service.files())


def test_photos_that_a_new_enrolment_does_not_keep_open_in_no_old_copy(service: RunningService, tmp_path: Path) -> None:
    person, consents = enrol_with_photos(service, 1, service.party())
    old = copied_data(service.root / "data", tmp_path / "old")

    assert enrol(person, [consents["verification"]], [toy_photo(1, variant=3)]).status_code == 201
    opened = {table for table, _ in openable(old, live_keys(service.root, old))}

    assert opened == SUBJECT_TABLES
    assert not rows(in_file(service.vault.data).path, "SELECT id FROM photos")


def test_no_row_of_a_deleted_enrolment_opens_in_an_old_copy_and_enrolling_again_works(
    service: RunningService, tmp_path: Path
) -> None:
    person, consents = enrol_with_photos(service, 1, service.party())
    old = copied_data(service.root / "data", tmp_path / "old")
    (enrolment,) = person("GET", "/v1/me/enrolments").json()["items"]

    assert person("DELETE", f"/v1/me/enrolments/{enrolment['enrolment_id']}").status_code == 200
    opened = {table for table, _ in openable(old, live_keys(service.root, old))}
    again = enrol(person, [consents["verification"]], [toy_photo(1)], keep_photos="true")

    assert opened == SUBJECT_TABLES
    assert again.status_code == 201


def test_each_grant_and_each_person_has_a_key_of_its_own(service: RunningService) -> None:
    party = service.party()
    for face in (1, 2):
        enrol_with_photos(service, face, party)
    owners = {key.owner for key in live_keys(service.root)}
    grants = {UUID(row[0]) for row in rows(in_file(service.vault.data).path, "SELECT id FROM grants")}
    people = {UUID(row[0]) for row in rows(in_file(service.vault.data).path, "SELECT id FROM subjects")}

    assert owners == grants | people
    assert len(grants) == 4
    assert len({wrapped for _, _, wrapped in slots(service.root)}) == len(slots(service.root))


COMPLETED = ErasureStatus.COMPLETED
SEED = 7
"""With it a page of the register is rebuilt over rows that are erased later."""


def test_no_page_of_the_stores_keeps_a_copy_of_erased_rows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`secure_delete` overwrites a deleted row in its place, and not the copies that SQLite left when it moved the row.

    A split or merge of b-tree pages copies cells to other pages. The old page keeps them between its pointers and its
    content.
    """
    chance = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    for module in (subjects, erasure):
        monkeypatch.setattr(module, "uuid4", lambda: UUID(int=chance.getrandbits(128), version=4))
    vault, now = open_vault(settings_for(root)), datetime.now(UTC)
    skip_fsync(vault)
    people = [subjects.register(vault, display_name=f"Name {n}", now=now).subject_id for n in range(100)]
    wrapped = {key.owner: key.wrapped for key in live_keys(root)}
    gone = []
    for _ in range(80):
        gone.append(people.pop(chance.randrange(len(people))))
        assert erasure.erase(vault, subject_id=gone[-1], settings=settings_for(root), now=now).status is COMPLETED
    needles = Needles().raw("wrapped key", *(wrapped[one] for one in gone))
    needles.raw("subject id", *(one.hex.encode() for one in gone))
    there = Needles().raw("wrapped key", wrapped[people[0]])
    left = needles.found(files_under(root))

    assert there.found(files_under(root)) == ["wrapped key in register.db"]
    assert not left


def test_an_erasure_rebuilds_the_data_store(service: RunningService, tmp_path: Path) -> None:
    """Copies of moved rows are left by chance only, but without a rebuild the pages of the photos always are."""
    person, _ = enrol_with_photos(service, 1, service.party())
    before = in_file(service.vault.data).path.stat().st_size
    assert person("DELETE", "/v1/me").json()["status"] == "completed"
    with closing(sqlite3.connect(in_file(service.vault.data).path, isolation_level=None)) as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "rebuilt.db"),))

    assert in_file(service.vault.data).path.stat().st_size == (tmp_path / "rebuilt.db").stat().st_size < before


@pytest.mark.service
def test_secure_delete_alone_leaves_copies_of_moved_rows(tmp_path: Path) -> None:
    """The control, with SQLite alone: emptying the write-ahead log is not enough."""
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

    assert left > 0, "SQLite overwrites them now: is `VACUUM` still needed?"
    assert after == 0
