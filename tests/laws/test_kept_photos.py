"""A kept photo goes with the last template that it serves, and its key goes with it: nothing is left to renew."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete

from app.consent.tables import Grant
from app.jobs.maintenance import run_maintenance
from app.templates.tables import Photo, Template
from tests.consent.drafts import draft, publish
from tests.consent.spies import count
from tests.support.service_fixture import Party, Person, RunningService, enrol
from tests.support.toy_faces import toy_photo


@dataclass
class Kept:
    """A person whose photo is kept under one consent, for the template of another."""

    service: RunningService
    person: Person
    party: Party
    consent: dict[str, Any]
    renewal: dict[str, Any]
    enrolment_id: str
    photo_id: str

    def photo(self) -> int:
        """Return the status of the kept photo."""
        return self.person("GET", f"/v1/me/photos/{self.photo_id}").status_code

    def decide(self, decision: str, notice: str | None = None) -> int:
        """Decide again on verification by the same relying party."""
        body = {
            "purpose": "verification",
            "relying_party_id": self.party.id,
            "notice_sha256": notice or self.service.notice("verification"),
            "decision": decision,
        }
        return self.person("POST", "/v1/me/consents", json=body).status_code

    def sweep(self) -> None:
        """Run the maintenance."""
        run_maintenance(self.service.vault, settings=self.service.settings, now=self.service.clock())


@pytest.fixture
def kept(service: RunningService) -> Kept:
    person, party = service.person(), service.party()
    consent, renewal = service.consent(person, party), service.consent(person, None, "template_renewal")
    answer = enrol(person, [consent["consent_id"]], [toy_photo(1)], keep_photos="true")
    assert answer.status_code == 201, answer.text
    (enrolment,) = person("GET", "/v1/me/enrolments").json()["items"]
    found = Kept(service, person, party, consent, renewal, answer.json()["enrolment_id"], enrolment["photo_ids"][0])
    assert found.photo() == 200
    return found


def withdraw(kept: Kept) -> None:
    assert kept.person("DELETE", f"/v1/me/consents/{kept.consent['consent_id']}").status_code == 200


def refuse(kept: Kept) -> None:
    assert kept.decide("refused") == 201


def expire(kept: Kept) -> None:
    # Both expire on the same day, unless the other is renewed.
    body = {"notice_sha256": kept.renewal["notice_sha256"], "valid_until": "2028-11-01T00:00:00Z"}
    renewed = kept.person("POST", f"/v1/me/consents/{kept.renewal['consent_id']}/renewal", json=body)
    assert renewed.status_code == 200, renewed.text
    kept.service.clock.advance(days=366)
    kept.sweep()


def consent_to_the_next_notice(kept: Kept) -> None:
    assert kept.decide("given", publish(kept.service.vault, draft(version=9), now=kept.service.clock())) == 201


def delete_enrolment(kept: Kept) -> None:
    assert kept.person("DELETE", f"/v1/me/enrolments/{kept.enrolment_id}").status_code == 200


def enrol_again(kept: Kept) -> None:
    assert enrol(kept.person, [kept.consent["consent_id"]], [toy_photo(1)]).status_code == 201


def delete_row(kept: Kept) -> None:
    with kept.service.vault.data.write() as session:
        session.execute(delete(Grant).where(Grant.id == UUID(kept.consent["consent_id"])))


ENDINGS: list[Callable[[Kept], None]] = [
    withdraw,
    refuse,
    expire,
    consent_to_the_next_notice,
    delete_enrolment,
    enrol_again,
]


@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
def test_a_photo_goes_with_its_last_template_and_so_does_its_key(kept: Kept, end: Callable[[Kept], None]) -> None:
    renewal = kept.renewal["consent_id"]
    before = kept.service.living_keys(renewal)[renewal]
    end(kept)
    after = kept.service.living_keys(renewal)[renewal]

    assert kept.photo() == 404
    assert count(kept.service.vault, "photos") == 0
    assert len(after) == 1
    assert not before & after, "a copy of the data has the sealed photo still"
    assert renewal in {one["consent_id"] for one in kept.person("GET", "/v1/me/consents").json()["in_force"]}


def test_sql_that_deletes_the_consent_deletes_the_photo(kept: Kept) -> None:
    delete_row(kept)

    assert count(kept.service.vault, "templates") == count(kept.service.vault, "photos") == 0


def test_a_photo_stays_while_another_consent_has_a_template_of_its_enrolment(kept: Kept) -> None:
    other = kept.service.consent(kept.person, kept.service.party("Gate"))
    both = [kept.consent["consent_id"], other["consent_id"]]
    answer = enrol(kept.person, both, [toy_photo(1)], keep_photos="true")
    (enrolment,) = kept.person("GET", "/v1/me/enrolments").json()["items"]
    kept.photo_id = enrolment["photo_ids"][0]
    found = [kept.photo()]
    for consent_id in both:
        kept.person("DELETE", f"/v1/me/consents/{consent_id}")
        kept.sweep()
        found.append(kept.photo())

    assert answer.status_code == 201
    assert found == [200, 200, 404]


def test_a_withdrawn_renewal_takes_the_photos_and_leaves_the_template(kept: Kept) -> None:
    kept.person("DELETE", f"/v1/me/consents/{kept.renewal['consent_id']}")

    assert kept.photo() == 404
    assert kept.party.verify(kept.consent["subject_ref"], toy_photo(1)).json()["decision"] == "match"


def test_photos_of_two_enrolments_end_one_by_one(kept: Kept) -> None:
    other = kept.service.consent(kept.person, kept.service.party("Gate"))
    enrol(kept.person, [other["consent_id"]], [toy_photo(1)], keep_photos="true")
    photos = {
        one["enrolment_id"]: one["photo_ids"][0] for one in kept.person("GET", "/v1/me/enrolments").json()["items"]
    }
    withdraw(kept)
    left = {enrolment: kept.person("GET", f"/v1/me/photos/{photo}").status_code for enrolment, photo in photos.items()}

    assert len(photos) == 2
    assert left[kept.enrolment_id] == 404
    assert sorted(left.values()) == [200, 404]


def test_a_run_ends_photos_that_an_earlier_version_left(kept: Kept) -> None:
    renewal = kept.renewal["consent_id"]
    with kept.service.vault.data.write() as session:
        session.execute(delete(Template).where(Template.grant_id == UUID(kept.consent["consent_id"])))
    before, found = kept.service.living_keys(renewal)[renewal], [kept.photo()]
    for _ in range(2):
        report = run_maintenance(kept.service.vault, settings=kept.service.settings, now=kept.service.clock())
        found.append(report.photos_ended)

    assert found == [200, 1, 0]
    assert kept.photo() == 404
    assert not before & kept.service.living_keys(renewal)[renewal]


def test_photos_of_other_people_stay(kept: Kept) -> None:
    other = kept.service.person()
    consent = kept.service.consent(other, kept.party)
    kept.service.consent(other, None, "template_renewal")
    enrol(other, [consent["consent_id"]], [toy_photo(2)], keep_photos="true")
    withdraw(kept)
    kept.sweep()
    with kept.service.vault.data.read() as session:
        left = [str(row.subject_id) for row in session.query(Photo)]

    assert left == [other.subject_id]
