"""Templates are renewed from kept photos, and never against the will of their subject."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from app.consent import permits
from app.consent.errors import ConsentRequiredError
from app.faces.engine import Metric, Vector
from app.faces.flaws import Flaw
from app.faces.permit import Permit
from app.faces.workers.messages import Measurement
from app.kit.errors import BusyError
from app.templates import policy, renewal, store
from app.templates import status as template_status
from app.templates.engine_history import NotInForceError
from app.templates.tables import Template
from app.transparency.log.entries import LoggedAct
from app.vault.vault import Vault
from tests.consent.spies import change_row
from tests.enrolment.engine_change import (
    EnrolledSubject,
    FlawPool,
    enrol_subject,
    entries_of,
    other_pool,
    run_renewal,
    served,
    supersede,
)
from tests.support.byte_scan import rows
from tests.support.service_fixture import MovableClock, RunningService, ToyPool, enrol
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import other_toy_card, toy_card
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until

TOY, OTHER = toy_card(), other_toy_card()


@pytest.fixture
def service(root: Path) -> Iterator[RunningService]:
    with served(root, TOY, clock=MovableClock()) as running:
        yield running


def template_engines(service: RunningService) -> list[str]:
    return [
        row[0] for row in rows(in_file(service.vault.data).path, "SELECT engine_id FROM templates ORDER BY engine_id")
    ]


def record_permits(pool: ToyPool) -> list[Permit]:
    """Record the permit of each photo that reaches the engine."""
    measured: list[Permit] = []
    measure_photos = pool.measure

    def measure(permit: Permit, images: list[bytes]) -> list[Measurement | Flaw]:
        measured.extend([permit] * len(images))
        return measure_photos(permit, images)

    pool.measure = measure  # type: ignore[assignment,method-assign]
    return measured


def test_a_template_is_renewed_from_its_kept_photos(root: Path) -> None:
    clock = MovableClock()
    with served(root, TOY, clock=clock) as before:
        enrolled = enrol_subject(before, keep_photos=True)
        assert enrolled.renewal is not None
        photos = enrolled.person("GET", "/v1/me/enrolments").json()["items"][0]
        old, key = enrolled.template(), before.living_keys(enrolled.consent_id)
        supersede(before)
        meanwhile = enrolled.template()
        pool = other_pool()
        measured = record_permits(pool)
        done = run_renewal(before, pool=pool)
        again, key_after = run_renewal(before), before.living_keys(enrolled.consent_id)
    with served(root, OTHER, clock=clock) as after:
        found = enrolled.at(after)
        decisions, template = (found.verify(), found.verify(2)), found.template()
        (entry,) = entries_of(found.person, LoggedAct.TEMPLATE_RENEWED)
        photos_after = found.person("GET", "/v1/me/enrolments").json()["items"][0]

    assert (meanwhile["engine_in_force"], meanwhile["to_do"]) == (False, template_status.NOTHING_TO_DO)
    assert (done, again) == (renewal.RenewalCounts(renewed=1), renewal.RenewalCounts())
    grant_ids = (UUID(enrolled.renewal["consent_id"]), UUID(enrolled.consent_id))
    assert [(permit.grant_ids, permit.keeps_photos) for permit in measured] == [(grant_ids, False)] * 2
    assert decisions == ("match", "no_match")
    assert (template["engine"], template["engine_in_force"], template["ends_on"], template["to_do"]) == (
        OTHER.id,
        True,
        None,
        None,
    )
    assert template["template_id"] != old["template_id"]
    assert {name: photos_after[name] for name in ("enrolment_id", "enrolled_on", "photo_ids")} == {
        name: photos[name] for name in ("enrolment_id", "enrolled_on", "photo_ids")
    }
    assert entry.pop("at")
    assert entry == {
        "act": "template_renewed",
        "enrolment_id": photos["enrolment_id"],
        "templates": 1,
        "photos": 2,
        "engine": OTHER.id,
        "weights_sha256": OTHER.weights_sha256,
        "engine_before": TOY.id,
        "weights_before": TOY.weights_sha256,
    }
    assert not key[enrolled.consent_id] & key_after[enrolled.consent_id], "the key of the old template is destroyed"


def test_a_running_service_renews_templates_by_itself(root: Path) -> None:
    clock = MovableClock()
    with served(root, TOY, clock=clock) as before:
        enrolled = enrol_subject(before, keep_photos=True)
    with served(root, OTHER, clock=clock, sweep_interval_s=0.05) as after:
        found = enrolled.at(after)
        wait_until(lambda: found.template()["engine_in_force"])

        assert found.verify() == "match"
        assert len(entries_of(found.person, LoggedAct.TEMPLATE_RENEWED)) == 1


def test_a_template_that_is_renewed_while_it_is_listed_is_listed_again(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled = enrol_subject(service, keep_photos=True)
    supersede(service)
    sealed_weights, changes = store.sealed_weights, [run_renewal]

    def renew_first(vault: Vault, template: Template) -> str:
        while changes:
            changes.pop()(service)
        return sealed_weights(vault, template)

    monkeypatch.setattr(store, "sealed_weights", renew_first)

    assert enrolled.template()["engine"] == OTHER.id


def test_the_template_of_each_consent_of_the_enrolment_is_renewed(service: RunningService) -> None:
    enrolled = enrol_subject(service, keep_photos=True)
    gate = service.consent(enrolled.person, service.party("Gate"))
    both = [enrolled.consent_id, gate["consent_id"]]
    photos = [toy_photo(1), toy_photo(1, variant=1)]
    assert enrol(enrolled.person, both, photos, keep_photos="true").status_code == 201
    supersede(service)
    pool = other_pool()
    measured = record_permits(pool)

    assert run_renewal(service, pool=pool) == renewal.RenewalCounts(renewed=2)
    assert len(measured) == 2, "each photo is measured once"
    assert template_engines(service) == [OTHER.id] * 2


def without_consent(service: RunningService) -> EnrolledSubject:
    return enrol_subject(service, keep_photos=False)


def restricted(service: RunningService) -> EnrolledSubject:
    enrolled = enrol_subject(service, keep_photos=True)
    enrolled.person("PUT", "/v1/me/restriction").raise_for_status()
    return enrolled


def disputed(service: RunningService) -> EnrolledSubject:
    enrolled = enrol_subject(service, keep_photos=True)
    assert enrolled.verify() == "match"
    (line,) = enrolled.person("GET", "/v1/me/comparisons").json()["items"]
    address = f"/v1/me/comparisons/{line['comparison_id']}/dispute"
    enrolled.person("PUT", address, json={"note": "not me"}).raise_for_status()
    return enrolled


def renewal_withdrawn(service: RunningService) -> EnrolledSubject:
    enrolled = enrol_subject(service, keep_photos=True)
    assert enrolled.renewal is not None
    enrolled.person("DELETE", f"/v1/me/consents/{enrolled.renewal['consent_id']}").raise_for_status()
    return enrolled


def photos_of_another_enrolment(service: RunningService) -> EnrolledSubject:
    """Photos are kept of the enrolment for one relying party, and none for the other."""
    enrolled = enrol_subject(service, keep_photos=True)
    gate = service.party("Gate")
    consent = service.consent(enrolled.person, gate)
    assert enrol(enrolled.person, [consent["consent_id"]], [toy_photo(1)]).status_code == 201
    enrolled.person("DELETE", f"/v1/me/consents/{enrolled.consent_id}").raise_for_status()
    return EnrolledSubject(enrolled.person, gate, consent, enrolled.renewal)


@pytest.mark.parametrize(
    ("case", "to_do"),
    [
        (without_consent, template_status.ENROL_AGAIN),
        (restricted, template_status.LIFT_STOP),
        (disputed, template_status.LIFT_STOP),
        (renewal_withdrawn, template_status.ENROL_AGAIN),
        (photos_of_another_enrolment, template_status.ENROL_AGAIN),
    ],
)
def test_photos_without_a_consent_in_force_are_not_measured(
    service: RunningService, case: Callable[[RunningService], EnrolledSubject], to_do: str
) -> None:
    enrolled = case(service)
    supersede(service)
    pool = other_pool()
    measured = record_permits(pool)

    assert run_renewal(service, pool=pool) == renewal.RenewalCounts()
    assert measured == []
    assert template_engines(service) == [TOY.id]
    assert enrolled.template()["to_do"] == to_do


def test_a_restricted_template_is_renewed_when_its_subject_lifts_the_restriction(service: RunningService) -> None:
    enrolled = restricted(service)
    supersede(service)
    run_renewal(service)
    enrolled.person("DELETE", "/v1/me/restriction").raise_for_status()

    assert run_renewal(service) == renewal.RenewalCounts(renewed=1)


def test_a_permit_for_renewal_needs_both_consents(service: RunningService) -> None:
    enrolled = enrol_subject(service, keep_photos=True)
    other = enrol_subject(service, keep_photos=True, party=enrolled.party, face=2)
    subject_id, mine, theirs = UUID(enrolled.person.subject_id), UUID(enrolled.consent_id), UUID(other.consent_id)
    assert enrolled.renewal is not None
    refused: tuple[list[UUID], ...] = ([theirs], [mine, theirs], [], [UUID(enrolled.renewal["consent_id"])])
    with service.vault.data.read() as session:
        permits.find_for_renewal(session, subject_id=subject_id, consent_ids=[mine], now=service.clock())
        for consent_ids in refused:
            with pytest.raises(ConsentRequiredError):
                permits.find_for_renewal(session, subject_id=subject_id, consent_ids=consent_ids, now=service.clock())


# --- Photos that the engine cannot use


def test_unusable_photos_are_reported_to_their_subject_and_not_tried_again(service: RunningService) -> None:
    enrolled = enrol_subject(service, keep_photos=True)
    supersede(service)
    pool = FlawPool(Flaw.TOO_DARK)
    measured = record_permits(pool)
    done = [run_renewal(service, pool=pool) for _ in range(3)]
    (entry,) = entries_of(enrolled.person, LoggedAct.TEMPLATE_NOT_RENEWED)

    assert done == [renewal.RenewalCounts(have_to_enrol_again=1), renewal.RenewalCounts(), renewal.RenewalCounts()]
    assert len(measured) == 1
    assert (entry["slug"], entry["engine"], entry["engine_before"]) == ("poor-quality", OTHER.id, TOY.id)
    assert enrolled.template()["to_do"] == template_status.PHOTOS_UNUSABLE
    assert enrolled.template()["ends_on"] is not None
    assert template_engines(service) == [TOY.id], "it stays until its last day, since the engine may return"


def test_photos_that_the_new_engine_attributes_to_two_people_are_not_combined(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled = enrol_subject(service, keep_photos=True)
    supersede(service)
    seen: list[float] = []

    def find_odd_photos(vectors: list[Vector], *, metric: Metric, threshold: float) -> list[int]:
        assert metric == "l2"
        seen.append(threshold)
        return [0, 1] if len(vectors) == 2 else []

    monkeypatch.setattr(policy, "find_odd_photos", find_odd_photos)

    assert run_renewal(service) == renewal.RenewalCounts(have_to_enrol_again=1)
    assert seen == [0.54]
    assert [one["slug"] for one in entries_of(enrolled.person, LoggedAct.TEMPLATE_NOT_RENEWED)] == [
        "not-the-same-person"
    ]


def test_a_photo_that_does_not_open_is_recorded_as_unreadable(service: RunningService) -> None:
    enrolled = enrol_subject(service, keep_photos=True)
    supersede(service)
    change_row(service.vault, "UPDATE photos SET sealed = x'00' WHERE position = 1")

    assert run_renewal(service) == renewal.RenewalCounts(have_to_enrol_again=1)
    (entry,) = [one for one in failure_entries(service, enrolled) if one["act"] == LoggedAct.TEMPLATE_NOT_RENEWED]
    assert entry["slug"] == renewal.UNREADABLE


def failure_entries(service: RunningService, enrolled: EnrolledSubject) -> list[dict[str, object]]:
    """Return the subject's entries; delete the damaged photo first, since it breaks the access document."""
    change_row(service.vault, "DELETE FROM photos")
    return entries_of(enrolled.person, LoggedAct.TEMPLATE_NOT_RENEWED)


# --- Concurrent changes


def withdraw(enrolled: EnrolledSubject) -> None:
    enrolled.person("DELETE", f"/v1/me/consents/{enrolled.consent_id}").raise_for_status()


def withdraw_renewal(enrolled: EnrolledSubject) -> None:
    assert enrolled.renewal is not None
    enrolled.person("DELETE", f"/v1/me/consents/{enrolled.renewal['consent_id']}").raise_for_status()


def restrict(enrolled: EnrolledSubject) -> None:
    enrolled.person("PUT", "/v1/me/restriction").raise_for_status()


def delete_enrolment(enrolled: EnrolledSubject) -> None:
    (one,) = enrolled.person("GET", "/v1/me/enrolments").json()["items"]
    enrolled.person("DELETE", f"/v1/me/enrolments/{one['enrolment_id']}").raise_for_status()


def enrol_again(enrolled: EnrolledSubject) -> None:
    assert enrol(enrolled.person, [enrolled.consent_id], [toy_photo(3)]).status_code == 201


def erase(enrolled: EnrolledSubject) -> None:
    enrolled.person("DELETE", "/v1/me").raise_for_status()


CHANGES = [withdraw, withdraw_renewal, restrict, delete_enrolment, enrol_again, erase]


@pytest.mark.parametrize("make_pool", [other_pool, lambda: FlawPool(Flaw.BLURRED)], ids=["renewed", "refused"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_while_the_engine_works_prevents_the_renewal(
    service: RunningService, change: Callable[[EnrolledSubject], None], make_pool: Callable[[], ToyPool]
) -> None:
    enrolled = enrol_subject(service, keep_photos=True)
    supersede(service)
    pool = make_pool()
    measure_photos, pending = pool.measure, [change]

    def measure(permit: Permit, images: list[bytes]) -> list[Measurement | Flaw]:
        answers = measure_photos(permit, images)
        while pending:
            pending.pop()(enrolled)
        return answers

    pool.measure = measure  # type: ignore[assignment,method-assign]

    assert run_renewal(service, pool=pool) == renewal.RenewalCounts(left=1)
    assert OTHER.id not in template_engines(service)
    assert rows(in_file(service.vault.data).path, "SELECT count(*) FROM templates WHERE not_renewable_by NOT NULL") == [
        (0,)
    ]
    if change is not erase:
        assert entries_of(enrolled.person, LoggedAct.TEMPLATE_RENEWED, LoggedAct.TEMPLATE_NOT_RENEWED) == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_during_the_wait_for_the_engine_prevents_the_measurement(
    service: RunningService, change: Callable[[EnrolledSubject], None]
) -> None:
    enrolled = enrol_subject(service, keep_photos=True)
    supersede(service)
    pool = other_pool()
    measured, pending = [], [change]
    measure_photos = pool.measure

    def measure(permit: Permit, images: list[bytes]) -> list[Measurement | Flaw]:
        measured.append(permit)
        return measure_photos(permit, images)

    def wait_for_turn_and_change() -> bool:
        while pending:
            pending.pop()(enrolled)
        return True

    pool.measure = measure  # type: ignore[assignment,method-assign]

    assert run_renewal(service, pool=pool, wait_for_turn=wait_for_turn_and_change) == renewal.RenewalCounts(left=1)
    assert measured == []


def test_a_change_of_engine_during_a_run_prevents_the_renewal(service: RunningService) -> None:
    enrol_subject(service, keep_photos=True)
    supersede(service)
    pool = other_pool()
    pool.after = lambda: supersede(service, TOY)

    assert run_renewal(service, pool=pool) == renewal.RenewalCounts(left=1)
    assert template_engines(service) == [TOY.id]


def test_an_engine_that_is_not_in_force_renews_nothing(service: RunningService) -> None:
    enrol_subject(service, keep_photos=True)

    with pytest.raises(NotInForceError, match="start the service with this one first"):
        run_renewal(service)


def test_no_transaction_is_open_during_a_measurement(service: RunningService) -> None:
    enrol_subject(service, keep_photos=True)
    supersede(service)
    pool, open_transactions = other_pool(), []
    stores = (service.vault.data, service.vault.register.store)
    pool.before = lambda: open_transactions.append([store.writer.pool.checkedout() for store in stores])  # type: ignore[attr-defined]
    run_renewal(service, pool=pool)

    assert open_transactions == [[0, 0]] * 2


# --- Priority of requests


def test_a_run_yields_before_each_photo_and_a_later_run_continues(service: RunningService) -> None:
    enrol_subject(service, keep_photos=True)
    supersede(service)
    pool = other_pool()
    measured, turns = record_permits(pool), iter([True, False])
    done = run_renewal(service, pool=pool, wait_for_turn=lambda: next(turns))

    assert (done, len(measured)) == (renewal.RenewalCounts(left=1), 1)
    assert run_renewal(service) == renewal.RenewalCounts(renewed=1)


def test_a_busy_engine_ends_the_run(service: RunningService) -> None:
    enrol_subject(service, keep_photos=True)
    supersede(service)
    pool = other_pool()

    def busy() -> None:
        raise BusyError

    pool.before = busy

    assert run_renewal(service, pool=pool) == renewal.RenewalCounts(left=1)
    assert template_engines(service) == [TOY.id]


def test_templates_are_renewed_page_by_page_with_progress(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "PAGE", 2)
    party, reports = service.party(), list[str]()
    for face in range(3):
        enrol_subject(service, keep_photos=True, party=party, face=face)
    supersede(service)

    assert run_renewal(service, report=reports.append) == renewal.RenewalCounts(renewed=3)
    assert reports[-1] == "3 enrolments"
