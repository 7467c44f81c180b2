"""Law 2: every biometric row refers to a grant. Tested with plain SQL, and with the checks of the handlers removed."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.consent import permits
from app.consent.tables import Grant
from app.faces.permit import Permit, Purpose
from tests.consent.spies import change_row, count, everything
from tests.support.service_fixture import Party, Person, RunningService, enrol
from tests.support.toy_faces import toy_photo

Row = dict[str, Any]


def row_of(service: RunningService, query: str, **values: object) -> Row:
    """Return the one row that a query finds."""
    with service.vault.data.read() as session:
        return dict(session.execute(text(query), values).mappings().one())


def insert(service: RunningService, table: str, row: Row) -> None:
    """Insert a row with plain SQL, on a connection as the service opens it."""
    names = ", ".join(row)
    change_row(service.vault, f"INSERT INTO {table} ({names}) VALUES ({', '.join(':' + name for name in row)})", **row)  # noqa: S608


def stored(consent: dict[str, Any]) -> str:
    """Return a consent's id as it is stored."""
    return UUID(consent["consent_id"]).hex


class Rows:
    """A person with a template and a photo, and other grants to which neither fits."""

    def __init__(self, service: RunningService) -> None:
        self.service = service
        self.person = service.person()
        self.door = service.party("Door", Purpose.VERIFICATION, Purpose.IDENTIFICATION)
        self.gate = service.party("Gate")
        self.consent = service.consent(self.person, self.door)
        self.renewal = service.consent(self.person, None, "template_renewal")
        answer = enrol(self.person, [self.consent["consent_id"]], [toy_photo(1)], keep_photos="true")
        assert answer.status_code == 201, answer.text
        self.template = row_of(service, "SELECT * FROM templates")
        self.photo = row_of(service, "SELECT * FROM photos")
        change_row(service.vault, "DELETE FROM templates")
        change_row(service.vault, "DELETE FROM photos")
        self.elsewhere = service.consent(self.person, self.gate)
        self.identification = service.consent(self.person, self.door, "identification")
        other = service.person()
        self.others = service.consent(other, self.door)
        self.others_renewal = service.consent(other, None, "template_renewal")
        self.other_id = UUID(other.subject_id).hex


@pytest.fixture
def rows(service: RunningService) -> Rows:
    """Rows that were deleted, to be inserted again with changes."""
    return Rows(service)


TEMPLATES: dict[str, Callable[[Rows], Row]] = {
    "no grant": lambda _: {"grant_id": None},
    "an unknown grant": lambda _: {"grant_id": uuid4().hex},
    "a grant of another purpose": lambda r: {"grant_id": stored(r.identification)},
    "its grant under another purpose": lambda _: {"purpose": "identification"},
    "a grant of another relying party": lambda r: {"grant_id": stored(r.elsewhere)},
    "its grant under another relying party": lambda r: {"relying_party_id": UUID(r.gate.id).hex},
    "no relying party": lambda _: {"relying_party_id": None},
    "a grant of another person": lambda r: {"grant_id": stored(r.others)},
    "its grant under another person": lambda r: {"subject_id": r.other_id},
    "no person": lambda _: {"subject_id": None},
    "its grant for keeping photos": lambda _: {"purpose": "template_renewal"},
    "a grant for keeping photos": lambda r: {
        "grant_id": stored(r.renewal),
        "purpose": "template_renewal",
        "relying_party_id": None,
    },
    "a grant for keeping photos, and a party": lambda r: {
        "grant_id": stored(r.renewal),
        "purpose": "template_renewal",
    },
    "no purpose": lambda _: {"purpose": None},
    "a purpose that does not exist": lambda _: {"purpose": "advertising"},
}


def test_sql_cannot_insert_a_template_that_does_not_fit_its_grant(rows: Rows) -> None:
    for name, changed in TEMPLATES.items():
        with pytest.raises(IntegrityError):
            insert(rows.service, "templates", rows.template | changed(rows))

        assert count(rows.service.vault, "templates") == 0, name

    insert(rows.service, "templates", rows.template)

    assert count(rows.service.vault, "templates") == 1, "the right grant"
    with pytest.raises(IntegrityError):
        insert(rows.service, "templates", rows.template | {"id": uuid4().hex})


PHOTOS: dict[str, Callable[[Rows], Row]] = {
    "no grant": lambda _: {"grant_id": None},
    "an unknown grant": lambda _: {"grant_id": uuid4().hex},
    "a grant for verification": lambda r: {"grant_id": stored(r.consent)},
    "a grant for verification, as that": lambda r: {"grant_id": stored(r.consent), "purpose": "verification"},
    "a grant for identification, as that": lambda r: {
        "grant_id": stored(r.identification),
        "purpose": "identification",
    },
    "another person's grant": lambda r: {"grant_id": stored(r.others_renewal)},
    "its grant under another person": lambda r: {"subject_id": r.other_id},
    "no purpose": lambda _: {"purpose": None},
}


def test_sql_cannot_insert_a_photo_that_does_not_fit_its_grant(rows: Rows) -> None:
    for name, changed in PHOTOS.items():
        with pytest.raises(IntegrityError):
            insert(rows.service, "photos", rows.photo | changed(rows))

        assert count(rows.service.vault, "photos") == 0, name

    insert(rows.service, "photos", rows.photo)

    assert count(rows.service.vault, "photos") == 1, "the right grant"


def test_sql_cannot_move_a_template_or_a_photo_to_another_grant(rows: Rows) -> None:
    insert(rows.service, "templates", rows.template)
    insert(rows.service, "photos", rows.photo)
    moves = [("templates", TEMPLATES), ("photos", PHOTOS)]

    for table, changes in moves:
        for name, changed in changes.items():
            sets = changed(rows)
            assignments = ", ".join(f"{column} = :{column}" for column in sets)
            with pytest.raises(IntegrityError):
                change_row(rows.service.vault, f"UPDATE {table} SET {assignments}", **sets)  # noqa: S608

            assert count(rows.service.vault, table) == 1, name


def test_deleting_a_grant_with_sql_deletes_its_template_and_photos(rows: Rows) -> None:
    insert(rows.service, "templates", rows.template)
    insert(rows.service, "photos", rows.photo)

    change_row(rows.service.vault, "DELETE FROM grants WHERE id = :id", id=stored(rows.elsewhere))
    before = (count(rows.service.vault, "templates"), count(rows.service.vault, "photos"))
    change_row(rows.service.vault, "DELETE FROM grants WHERE id = :id", id=stored(rows.renewal))
    between = (count(rows.service.vault, "templates"), count(rows.service.vault, "photos"))
    change_row(rows.service.vault, "DELETE FROM grants WHERE id = :id", id=stored(rows.consent))

    assert before == (1, 1), "another grant takes nothing of this one"
    assert between == (1, 0), "each takes its own"
    assert count(rows.service.vault, "templates") == 0


def test_deleting_the_grant_of_the_last_template_with_sql_deletes_the_photos_too(rows: Rows) -> None:
    insert(rows.service, "templates", rows.template)
    insert(rows.service, "photos", rows.photo)

    change_row(rows.service.vault, "DELETE FROM grants WHERE id = :id", id=stored(rows.consent))

    assert (count(rows.service.vault, "templates"), count(rows.service.vault, "photos")) == (0, 0)


def test_deleting_a_person_with_sql_deletes_all_their_rows(rows: Rows) -> None:
    insert(rows.service, "templates", rows.template)
    insert(rows.service, "photos", rows.photo)
    person_id = UUID(rows.person.subject_id).hex

    change_row(rows.service.vault, "DELETE FROM subjects WHERE id = :id", id=person_id)

    left = [table for table, found in everything(rows.service.vault).items() if person_id in repr(found)]
    assert left == [], "no store has anything of them by their id"


def test_sql_cannot_change_a_decision_or_a_notice(service: RunningService) -> None:
    person = service.person()
    service.consent(person, service.party())

    for statement in (
        "UPDATE consent_events SET position = 7",
        "UPDATE consent_events SET sealed = x'00'",
        "UPDATE notices SET body = 'agree to anything'",
        "UPDATE notices SET published_at = '2020-01-01'",
        "DELETE FROM notices",
    ):
        before = everything(service.vault)
        with pytest.raises(IntegrityError):
            change_row(service.vault, statement)

        assert everything(service.vault) == before, statement

    insert(service, "notices", row_of(service, "SELECT * FROM notices LIMIT 1") | {"sha256": "0" * 64, "version": 99})
    assert count(service.vault, "notices") == 4, "a new notice can be added"


def test_sql_cannot_replace_a_notice(service: RunningService) -> None:
    # REPLACE deletes the old row, which runs a trigger of SQLite only with `recursive_triggers=ON`.
    before = everything(service.vault)
    columns = "sha256, purpose, language, version, published_at"
    replacement = f"INSERT OR REPLACE INTO notices ({columns}, body) SELECT {columns}, x'00' FROM notices"  # noqa: S608

    with pytest.raises(IntegrityError):
        change_row(service.vault, replacement)

    assert everything(service.vault) == before


def test_a_grant_is_only_for_a_purpose_that_its_party_has(service: RunningService) -> None:
    person, door, gate = service.person(), service.party("Door"), service.party("Gate", Purpose.IDENTIFICATION)
    service.consent(person, door)
    grant = row_of(service, "SELECT * FROM grants")
    change_row(service.vault, "DELETE FROM grants")
    impossible: list[Row] = [
        {"purpose": "identification"},
        {"relying_party_id": UUID(gate.id).hex},
        {"relying_party_id": uuid4().hex},
        {"relying_party_id": None, "subject_ref": None},
        {"subject_ref": None},
        {"purpose": "template_renewal"},
        {"purpose": "template_renewal", "subject_ref": None},
        {"purpose": "template_renewal", "relying_party_id": None},
        {"purpose": "advertising"},
        {"notice_sha256": "0" * 64},
        {"subject_id": uuid4().hex},
        {"valid_until": None},
    ]

    for changed in impossible:
        with pytest.raises(IntegrityError):
            insert(service, "grants", grant | changed)

        assert count(service.vault, "grants") == 0, changed

    renewal = {"purpose": "template_renewal", "relying_party_id": None, "subject_ref": None}
    for row in (grant, grant | {"id": uuid4().hex} | renewal):
        insert(service, "grants", row)
        with pytest.raises(IntegrityError):
            insert(service, "grants", row | {"id": uuid4().hex})

    assert count(service.vault, "grants") == 2, "one of each for one person, and no second"


def forged(person: Person, party: Party | None, purpose: Purpose, grant_id: str | None = None) -> Grant:
    """Return a grant without a consent."""
    return Grant(
        id=uuid4() if grant_id is None else UUID(grant_id),
        subject_id=UUID(person.subject_id),
        purpose=purpose,
        relying_party_id=None if party is None else UUID(party.id),
        subject_ref=None if party is None else "forged",
    )


def without_checks(monkeypatch: pytest.MonkeyPatch, *grants: Grant) -> None:
    """Permit every enrolment on these grants, without checks."""

    def permit_all(
        session: Session, *, subject_id: UUID, consent_ids: Collection[UUID], keep_photos: bool, now: datetime
    ) -> tuple[Permit, Sequence[Grant]]:
        return Permit(grant_ids=tuple(grant.id for grant in grants), keeps_photos=keep_photos), grants

    monkeypatch.setattr(permits, "find_for_enrolment", permit_all)


def test_with_every_check_removed_the_database_still_refuses(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, other = service.person(), service.person()
    door, gate = service.party("Door", Purpose.VERIFICATION, Purpose.IDENTIFICATION), service.party("Gate")
    mine, others = service.consent(person, door)["consent_id"], service.consent(other, door)["consent_id"]
    renewal = service.consent(other, None, "template_renewal")["consent_id"]
    given = forged(person, door, Purpose.VERIFICATION, mine)
    attempts = {
        "invented": [forged(person, door, Purpose.VERIFICATION)],
        "another person's": [forged(person, door, Purpose.VERIFICATION, others)],
        "for another purpose": [forged(person, door, Purpose.IDENTIFICATION, mine)],
        "for another party": [forged(person, gate, Purpose.VERIFICATION, mine)],
        "the second of two": [given, forged(person, gate, Purpose.VERIFICATION)],
        "photos under a grant for verification": [given, forged(person, None, Purpose.TEMPLATE_RENEWAL, mine)],
        "photos under another person's grant": [given, forged(person, None, Purpose.TEMPLATE_RENEWAL, renewal)],
        "photos under nothing": [given, forged(person, None, Purpose.TEMPLATE_RENEWAL)],
    }

    for name, grants in attempts.items():
        without_checks(monkeypatch, *grants)
        before = everything(service.vault)
        answer = enrol(person, [mine], [toy_photo(1)], keep_photos="true")

        assert answer.status_code == 503, name
        assert everything(service.vault) == before, f"{name}: nothing is stored, and no key is left over"

    without_checks(monkeypatch, given)
    assert enrol(person, [mine], [toy_photo(1)]).status_code == 201, "with a real grant the same way is open"


def test_with_every_check_removed_a_withdrawal_still_holds(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, door = service.person(), service.party()
    mine = service.consent(person, door)["consent_id"]
    without_checks(monkeypatch, forged(person, door, Purpose.VERIFICATION, mine))

    def withdraw() -> None:
        person("DELETE", f"/v1/me/consents/{mine}")

    service.pool.after = withdraw

    answer = enrol(person, [mine], [toy_photo(1)])

    assert answer.status_code == 403, "the register issues no key for an ended grant"
    assert count(service.vault, "templates") == 0
    assert service.living_keys(mine) == {}
