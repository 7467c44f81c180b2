"""Templates are renewed from kept photos: of whom, in which order, and never against anybody's will."""

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
from app.templates import policy, renewal
from app.templates import status as template_status
from app.templates.engine_history import NotInForceError
from app.transparency.log.entries import LoggedAct
from tests.consent.spies import change_row
from tests.enrolment.engine_change import Ada, BlindPool, acts, ada, look, other_pool, served, supersede
from tests.support.byte_scan import rows
from tests.support.service_fixture import MovableClock, RunningService, ToyPool, enrol
from tests.support.toy_engine import other_toy_card, toy_card
from tests.support.toy_faces import toy_photo

TOY, OTHER = toy_card(), other_toy_card()


@pytest.fixture
def service(root: Path) -> Iterator[RunningService]:
    with served(root, TOY, clock=MovableClock()) as running:
        yield running


def made_by(service: RunningService) -> list[str]:
    return [row[0] for row in rows(service.vault.data.path, "SELECT engine_id FROM templates ORDER BY engine_id")]


def counting(pool: ToyPool) -> list[Permit]:
    """Note each photo that reaches the engine, with its permit."""
    asked: list[Permit] = []
    real = pool.measure

    def measure(permit: Permit, images: list[bytes]) -> list[Measurement | Flaw]:
        asked.extend([permit] * len(images))
        return real(permit, images)

    pool.measure = measure  # type: ignore[assignment,method-assign]
    return asked


def test_a_template_is_renewed_from_the_photos_that_were_kept_for_it(root: Path) -> None:
    clock = MovableClock()
    with served(root, TOY, clock=clock) as before:
        enrolled = ada(before, keeps=True)
        assert enrolled.renewal is not None
        photos = enrolled.person("GET", "/v1/me/enrolments").json()["items"][0]
        old, key = enrolled.template(), before.living_keys(enrolled.consent_id)
        supersede(before)
        meanwhile = enrolled.template()
        pool = other_pool()
        asked = counting(pool)
        done = look(before, pool=pool)
        again, key_after = look(before), before.living_keys(enrolled.consent_id)
    with served(root, OTHER, clock=clock) as after:
        found = enrolled.at(after)
        decisions, told = (found.verified(), found.verified(2)), found.template()
        (entry,) = acts(found.person, LoggedAct.TEMPLATE_RENEWED)
        photos_after = found.person("GET", "/v1/me/enrolments").json()["items"][0]

    assert (meanwhile["engine_in_force"], meanwhile["to_do"]) == (False, template_status.NOTHING_TO_DO)
    assert (done, again) == (renewal.RenewalCounts(renewed=1), renewal.RenewalCounts())
    rests_on = (UUID(enrolled.renewal["consent_id"]), UUID(enrolled.consent_id))
    assert [(permit.grant_ids, permit.keeps_photos) for permit in asked] == [(rests_on, False)] * 2
    assert decisions == ("match", "no_match")
    assert (told["engine"], told["engine_in_force"], told["ends_on"], told["to_do"]) == (OTHER.id, True, None, None)
    assert told["template_id"] != old["template_id"]
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
    assert not key[enrolled.consent_id] & key_after[enrolled.consent_id], "the key of the old one is destroyed"


def test_a_running_service_renews_by_itself(root: Path) -> None:
    clock = MovableClock()
    with served(root, TOY, clock=clock) as before:
        enrolled = ada(before, keeps=True)
    with served(root, OTHER, clock=clock, sweep_interval_s=0.05) as after:
        found = enrolled.at(after)
        for _ in range(200):
            if found.template()["engine_in_force"]:
                break

        assert found.verified() == "match"
        assert len(acts(found.person, LoggedAct.TEMPLATE_RENEWED)) == 1


def test_one_for_each_consent_of_the_enrolment(service: RunningService) -> None:
    enrolled = ada(service, keeps=True)
    gate = service.consent(enrolled.person, service.party("Gate"))
    both = [enrolled.consent_id, gate["consent_id"]]
    photos = [toy_photo(1), toy_photo(1, variant=1)]
    assert enrol(enrolled.person, both, photos, keep_photos="true").status_code == 201
    supersede(service)
    pool = other_pool()
    asked = counting(pool)

    assert look(service, pool=pool) == renewal.RenewalCounts(renewed=2)
    assert len(asked) == 2, "each photo is measured once"
    assert made_by(service) == [OTHER.id] * 2


def without_consent(service: RunningService) -> Ada:
    return ada(service, keeps=False)


def restricted(service: RunningService) -> Ada:
    enrolled = ada(service, keeps=True)
    enrolled.person("PUT", "/v1/me/restriction").raise_for_status()
    return enrolled


def disputed(service: RunningService) -> Ada:
    enrolled = ada(service, keeps=True)
    assert enrolled.verified() == "match"
    (line,) = enrolled.person("GET", "/v1/me/comparisons").json()["items"]
    address = f"/v1/me/comparisons/{line['comparison_id']}/dispute"
    enrolled.person("PUT", address, json={"note": "not me"}).raise_for_status()
    return enrolled


def renewal_withdrawn(service: RunningService) -> Ada:
    enrolled = ada(service, keeps=True)
    assert enrolled.renewal is not None
    enrolled.person("DELETE", f"/v1/me/consents/{enrolled.renewal['consent_id']}").raise_for_status()
    return enrolled


def photos_of_another_enrolment(service: RunningService) -> Ada:
    """She keeps photos of an enrolment for one door, and none of that for the other."""
    enrolled = ada(service, keeps=True)
    gate = service.party("Gate")
    consent = service.consent(enrolled.person, gate)
    assert enrol(enrolled.person, [consent["consent_id"]], [toy_photo(1)]).status_code == 201
    enrolled.person("DELETE", f"/v1/me/consents/{enrolled.consent_id}").raise_for_status()
    return Ada(enrolled.person, gate, consent, enrolled.renewal)


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
def test_nobody_else_is_measured(service: RunningService, case: Callable[[RunningService], Ada], to_do: str) -> None:
    enrolled = case(service)
    supersede(service)
    pool = other_pool()
    asked = counting(pool)

    assert look(service, pool=pool) == renewal.RenewalCounts()
    assert asked == []
    assert made_by(service) == [TOY.id]
    assert enrolled.template()["to_do"] == to_do


def test_what_was_stopped_is_renewed_when_its_person_lifts_that(service: RunningService) -> None:
    enrolled = restricted(service)
    supersede(service)
    look(service)
    enrolled.person("DELETE", "/v1/me/restriction").raise_for_status()

    assert look(service) == renewal.RenewalCounts(renewed=1)


def test_a_permit_for_renewal_rests_on_both_consents(service: RunningService) -> None:
    enrolled = ada(service, keeps=True)
    other = ada(service, keeps=True, party=enrolled.party, face=2)
    subject_id, mine, theirs = UUID(enrolled.person.subject_id), UUID(enrolled.consent_id), UUID(other.consent_id)
    assert enrolled.renewal is not None
    refused: tuple[list[UUID], ...] = ([theirs], [mine, theirs], [], [UUID(enrolled.renewal["consent_id"])])
    with service.vault.data.read() as session:
        permits.find_for_renewal(session, subject_id=subject_id, consent_ids=[mine], now=service.clock())
        for consent_ids in refused:
            with pytest.raises(ConsentRequiredError):
                permits.find_for_renewal(session, subject_id=subject_id, consent_ids=consent_ids, now=service.clock())


# --- Photos that will not do


def test_photos_that_will_not_do_are_said_to_their_person_and_not_tried_again(service: RunningService) -> None:
    enrolled = ada(service, keeps=True)
    supersede(service)
    pool = BlindPool(Flaw.TOO_DARK)
    asked = counting(pool)
    done = [look(service, pool=pool) for _ in range(3)]
    (entry,) = acts(enrolled.person, LoggedAct.TEMPLATE_NOT_RENEWED)

    assert done == [renewal.RenewalCounts(have_to_enrol_again=1), renewal.RenewalCounts(), renewal.RenewalCounts()]
    assert len(asked) == 1
    assert (entry["slug"], entry["engine"], entry["engine_before"]) == ("poor-quality", OTHER.id, TOY.id)
    assert enrolled.template()["to_do"] == template_status.PHOTOS_UNUSABLE
    assert enrolled.template()["ends_on"] is not None
    assert made_by(service) == [TOY.id], "it stays until its day: the engine may come back"


def test_photos_that_another_engine_takes_for_two_people_are_not_put_together(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled = ada(service, keeps=True)
    supersede(service)
    seen: list[float] = []

    def odd(vectors: list[Vector], *, metric: Metric, threshold: float) -> list[int]:
        assert metric == "l2"
        seen.append(threshold)
        return [0, 1] if len(vectors) == 2 else []

    monkeypatch.setattr(policy, "find_odd_photos", odd)

    assert look(service) == renewal.RenewalCounts(have_to_enrol_again=1)
    assert seen == [0.54]
    assert [one["slug"] for one in acts(enrolled.person, LoggedAct.TEMPLATE_NOT_RENEWED)] == ["not-the-same-person"]


def test_a_photo_that_does_not_open_is_no_photo(service: RunningService) -> None:
    enrolled = ada(service, keeps=True)
    supersede(service)
    change_row(service.vault, "UPDATE photos SET sealed = x'00' WHERE position = 1")

    assert look(service) == renewal.RenewalCounts(have_to_enrol_again=1)
    (entry,) = [one for one in opened(service, enrolled) if one["act"] == LoggedAct.TEMPLATE_NOT_RENEWED]
    assert entry["slug"] == renewal.UNREADABLE


def opened(service: RunningService, enrolled: Ada) -> list[dict[str, object]]:
    """Read her entries where her page would stumble over the photo."""
    change_row(service.vault, "DELETE FROM photos")
    return acts(enrolled.person, LoggedAct.TEMPLATE_NOT_RENEWED)


# --- Meanwhile


def withdraws(enrolled: Ada) -> None:
    enrolled.person("DELETE", f"/v1/me/consents/{enrolled.consent_id}").raise_for_status()


def withdraws_the_renewal(enrolled: Ada) -> None:
    assert enrolled.renewal is not None
    enrolled.person("DELETE", f"/v1/me/consents/{enrolled.renewal['consent_id']}").raise_for_status()


def restricts(enrolled: Ada) -> None:
    enrolled.person("PUT", "/v1/me/restriction").raise_for_status()


def deletes_the_enrolment(enrolled: Ada) -> None:
    (one,) = enrolled.person("GET", "/v1/me/enrolments").json()["items"]
    enrolled.person("DELETE", f"/v1/me/enrolments/{one['enrolment_id']}").raise_for_status()


def enrols_again(enrolled: Ada) -> None:
    assert enrol(enrolled.person, [enrolled.consent_id], [toy_photo(3)]).status_code == 201


def leaves(enrolled: Ada) -> None:
    enrolled.person("DELETE", "/v1/me").raise_for_status()


MEANWHILE = [withdraws, withdraws_the_renewal, restricts, deletes_the_enrolment, enrols_again, leaves]


@pytest.mark.parametrize("made", [other_pool, lambda: BlindPool(Flaw.BLURRED)], ids=["renewed", "refused"])
@pytest.mark.parametrize("what", MEANWHILE)
def test_whoever_changes_their_mind_while_the_engine_works_finds_nothing_written(
    service: RunningService, what: Callable[[Ada], None], made: Callable[[], ToyPool]
) -> None:
    enrolled = ada(service, keeps=True)
    supersede(service)
    pool = made()
    real, once = pool.measure, [what]

    def measure(permit: Permit, images: list[bytes]) -> list[Measurement | Flaw]:
        answers = real(permit, images)
        while once:
            once.pop()(enrolled)
        return answers

    pool.measure = measure  # type: ignore[assignment,method-assign]

    assert look(service, pool=pool) == renewal.RenewalCounts(left=1)
    assert OTHER.id not in made_by(service)
    assert rows(service.vault.data.path, "SELECT count(*) FROM templates WHERE not_renewable_by NOT NULL") == [(0,)]
    if what is not leaves:
        assert acts(enrolled.person, LoggedAct.TEMPLATE_RENEWED, LoggedAct.TEMPLATE_NOT_RENEWED) == []


@pytest.mark.parametrize("what", MEANWHILE)
def test_whoever_changes_their_mind_while_the_engine_is_waited_for_is_not_measured(
    service: RunningService, what: Callable[[Ada], None]
) -> None:
    enrolled = ada(service, keeps=True)
    supersede(service)
    pool = other_pool()
    measured, once = [], [what]
    real = pool.measure

    def measure(permit: Permit, images: list[bytes]) -> list[Measurement | Flaw]:
        measured.append(permit)
        return real(permit, images)

    def waited() -> bool:
        while once:
            once.pop()(enrolled)
        return True

    pool.measure = measure  # type: ignore[assignment,method-assign]

    assert look(service, pool=pool, wait_for_turn=waited) == renewal.RenewalCounts(left=1)
    assert measured == []


def test_another_engine_that_came_into_force_meanwhile_gets_no_template_of_this_one(service: RunningService) -> None:
    ada(service, keeps=True)
    supersede(service)
    pool = other_pool()
    pool.after = lambda: supersede(service, TOY)

    assert look(service, pool=pool) == renewal.RenewalCounts(left=1)
    assert made_by(service) == [TOY.id]


def test_an_engine_that_is_not_in_force_renews_nothing(service: RunningService) -> None:
    ada(service, keeps=True)

    with pytest.raises(NotInForceError, match="start the service with this one first"):
        look(service)


def test_no_transaction_is_open_while_it_measures(service: RunningService) -> None:
    ada(service, keeps=True)
    supersede(service)
    pool, open_then = other_pool(), []
    stores = (service.vault.data, service.vault.register.store)
    pool.before = lambda: open_then.append([store.writer.pool.checkedout() for store in stores])  # type: ignore[attr-defined]
    look(service, pool=pool)

    assert open_then == [[0, 0]] * 2


# --- Whose turn it is


def test_it_gives_way_before_each_photo_and_goes_on_another_time(service: RunningService) -> None:
    ada(service, keeps=True)
    supersede(service)
    pool = other_pool()
    asked, turns = counting(pool), iter([True, False])
    done = look(service, pool=pool, wait_for_turn=lambda: next(turns))

    assert (done, len(asked)) == (renewal.RenewalCounts(left=1), 1)
    assert look(service) == renewal.RenewalCounts(renewed=1)


def test_a_full_engine_is_left_to_others(service: RunningService) -> None:
    ada(service, keeps=True)
    supersede(service)
    pool = other_pool()

    def busy() -> None:
        raise BusyError

    pool.before = busy

    assert look(service, pool=pool) == renewal.RenewalCounts(left=1)
    assert made_by(service) == [TOY.id]


def test_many_are_renewed_page_by_page_with_progress(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "PAGE", 2)
    party, told = service.party(), list[str]()
    for face in range(5):
        ada(service, keeps=True, party=party, face=face)
    supersede(service)

    assert look(service, report=told.append) == renewal.RenewalCounts(renewed=5)
    assert told[-1] == "5 enrolments"
