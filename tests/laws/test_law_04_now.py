"""Law 4: no decision commits after a withdrawal has committed.

Each kind of end is put between each two steps of a verification. The answer is then that for an unknown reference.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import update

from app.comparisons import commit_decision
from app.consent.tables import Grant
from app.subjects.tables import Subject
from app.vault.register import Owner
from app.verification import service as verify
from tests.support.service_fixture import MakeRoot, Party, Person, RunningService, SharedPool, enrol, serving
from tests.support.store_queries import read_rows
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

pytestmark = pytest.mark.both_stores
SOON_S = 5.0
"""Much longer than an act that does not wait."""

Act = Callable[[], None]


def withdrawn(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    assert person("DELETE", f"/v1/me/consents/{consent['consent_id']}").status_code == 200


def erased(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    assert person("DELETE", "/v1/me").json()["status"] == "completed"


def restricted(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    with service.vault.data.write() as session:
        session.connection().execute(
            update(Subject).where(Subject.id == UUID(person.subject_id)).values(matching_period_id=None)
        )


def disputed(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    with service.vault.data.write() as session:
        session.connection().execute(
            update(Grant).where(Grant.id == UUID(consent["consent_id"])).values(matching_period_id=None)
        )


def expired(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    service.clock.advance(days=400)


def enrolled_anew(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    service.pool.reset()
    assert enrol(person, [consent["consent_id"]], [toy_photo(1, variant=3)]).status_code == 201


def enrolment_deleted(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    (one,) = person("GET", "/v1/me/enrolments").json()["items"]
    assert person("DELETE", f"/v1/me/enrolments/{one['enrolment_id']}").status_code == 200


def given_anew(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    withdrawn(service, person, consent)
    service.consent(person, Party(service.client, consent["relying_party_id"], ""))


ENDINGS = (withdrawn, erased, restricted, disputed, expired, enrolled_anew, enrolment_deleted, given_anew)


def before_the_engine(service: RunningService, monkeypatch: pytest.MonkeyPatch, act: Act) -> None:
    service.pool.before = act


def after_the_engine(service: RunningService, monkeypatch: pytest.MonkeyPatch, act: Act) -> None:
    service.pool.after = act


def before_the_decision(service: RunningService, monkeypatch: pytest.MonkeyPatch, act: Act) -> None:
    """The distance is known; only the commit is left."""
    commit = commit_decision.commit_decision

    def late(*args: Any, **named: Any) -> UUID:
        act()
        return commit(*args, **named)

    monkeypatch.setattr(verify, "commit_decision", late)


SLOTS = "SELECT owner, wrapped FROM keys"
STEPS = (before_the_engine, after_the_engine, before_the_decision)


def lines(service: RunningService, person: Person) -> int:
    """Count the person's comparisons in the database."""
    query = "SELECT id FROM comparisons WHERE subject_id = ?"
    return len(read_rows(service.vault.data, query, UUID(person.subject_id)))


@pytest.fixture(scope="module")
def shared(
    make_root: MakeRoot, toy_pool: SharedPool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    with serving(make_root(tmp_path_factory.mktemp("now") / "service"), toy_pool, toy_card()) as running:
        yield running


@pytest.fixture
def service(shared: RunningService) -> Iterator[RunningService]:
    """One service for all tests; each uses its own people and relying party."""
    shared.pool.reset()
    yield shared
    shared.pool.reset()
    shared.clock.moved = timedelta()


def enrolled_person(
    service: RunningService, face: int = 1, party: Party | None = None
) -> tuple[Person, Party, dict[str, Any]]:
    """Enrol a new person."""
    return service.enrolled(face, party=party or service.party(f"Door {uuid4()}"))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("step", STEPS)
def test_no_decision_when_the_consent_ends_during_a_verification(
    service: RunningService, monkeypatch: pytest.MonkeyPatch, step: Callable[..., None], ending: Callable[..., None]
) -> None:
    person, party, consent = enrolled_person(service)
    acted = threading.Event()

    def act() -> None:
        if not acted.is_set():
            acted.set()
            ending(service, person, consent)

    step(service, monkeypatch, act)
    answer = party.verify(consent["subject_ref"], toy_photo(1))
    never = party.verify("never-was", toy_photo(1))

    assert acted.is_set()
    assert (answer.status_code, answer.content) == (404, never.content)
    assert lines(service, person) == 0


@pytest.mark.parametrize("step", STEPS)
def test_the_end_of_another_persons_consent_changes_nothing(
    service: RunningService, monkeypatch: pytest.MonkeyPatch, step: Callable[..., None]
) -> None:
    person, party, consent = enrolled_person(service)
    other, _, others = enrolled_person(service, 2, party)
    step(service, monkeypatch, lambda: withdrawn(service, other, others))

    answer = party.verify(consent["subject_ref"], toy_photo(1))

    assert (answer.status_code, answer.json()["decision"]) == (200, "match")
    assert lines(service, person) == 1


@pytest.mark.parametrize("ending", [withdrawn, erased])
@pytest.mark.parametrize("written_first", [True, False], ids=["after the line", "before the line"])
def test_an_ending_during_the_commit_of_a_decision_waits_for_that_commit_only(
    service: RunningService, monkeypatch: pytest.MonkeyPatch, ending: Callable[..., None], *, written_first: bool
) -> None:
    """The decision commits first and stays valid, and the person can see it."""
    person, party, consent = enrolled_person(service)
    write, done = commit_decision._insert_entry_if_in_force, threading.Event()
    seen_waiting: list[bool] = []

    def end() -> None:
        ending(service, person, consent)
        done.set()

    def inside(*given: Any, **named: Any) -> bool:
        early = write(*given, **named) if written_first else None
        threads.append(executor.submit(end))
        seen_waiting.append(not done.wait(0.3))
        return write(*given, **named) if early is None else early

    monkeypatch.setattr(commit_decision, "_insert_entry_if_in_force", inside)
    threads: list[Any] = []
    with ThreadPoolExecutor(1) as executor:
        answer = party.verify(consent["subject_ref"], toy_photo(1))
        threads[0].result(SOON_S)

    assert seen_waiting == [True]
    assert answer.status_code == 200
    assert party.verify(consent["subject_ref"], toy_photo(1)).status_code == 404
    assert lines(service, person) == (1 if ending is withdrawn else 0)


def test_a_decision_that_fails_to_commit_is_not_answered(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comparison that was rolled back is not answered with a decision."""
    person, party, consent = enrolled_person(service)

    def refused(*_given: object, **_named: object) -> bool:
        return False

    monkeypatch.setattr(commit_decision, "_insert_entry_if_in_force", refused)

    assert party.verify(consent["subject_ref"], toy_photo(1)).status_code == 404
    assert lines(service, person) == 0


@pytest.mark.parametrize("ending", [withdrawn, erased, enrolment_deleted])
def test_ending_never_waits_for_the_engine(service: RunningService, ending: Callable[..., None]) -> None:
    person, party, consent = enrolled_person(service)
    at_work, go_on = threading.Event(), threading.Event()

    def block() -> None:
        at_work.set()
        assert go_on.wait(60)

    service.pool.before = block
    with ThreadPoolExecutor(2) as executor:
        answer = executor.submit(party.verify, consent["subject_ref"], toy_photo(1))
        assert at_work.wait(SOON_S)
        try:
            executor.submit(ending, service, person, consent).result(SOON_S)
            still_at_work = not answer.done()
        finally:
            go_on.set()

    assert still_at_work
    assert answer.result().status_code == 404
    assert lines(service, person) == 0


@pytest.mark.parametrize("ending", [withdrawn, erased, expired])
def test_an_enrolment_is_refused_when_its_consent_ends_meanwhile(
    service: RunningService, ending: Callable[..., None]
) -> None:
    person, party = service.person(), service.party(f"Door {uuid4()}")
    consent = service.consent(person, party)
    service.pool.after = lambda: ending(service, person, consent)

    answer = enrol(person, [consent["consent_id"]], [toy_photo(1)])

    assert answer.status_code in {401, 403}, answer.text
    query = "SELECT id FROM templates WHERE subject_id = ?"
    assert not read_rows(service.vault.data, query, UUID(person.subject_id))
    owners = {bytes(owner) for owner, key in read_rows(service.vault.register.store, SLOTS) if any(key)}
    mine = Owner.grant(UUID(consent["consent_id"])).digest
    assert (mine in owners) == (ending is expired), "no key is issued to what ended"


def test_no_transaction_is_open_while_the_engine_works(service: RunningService) -> None:
    seen: list[int] = []

    def look() -> None:
        seen.append(service.vault.data.open_transactions() + service.vault.register.store.open_transactions())

    service.pool.before = service.pool.after = look
    person, party, consent = enrolled_person(service)
    party.verify(consent["subject_ref"], toy_photo(1))
    renewal = service.consent(person, None, "template_renewal")
    enrol(person, [consent["consent_id"]], [toy_photo(1)], keep_photos="true")

    assert renewal["consent_id"]
    assert seen == [0] * 6
    with service.vault.data.read():
        look()
    assert seen[-1] == 1, "the count counts"


def test_withdrawing_twice_at_once_is_harmless(service: RunningService) -> None:
    person, _, consent = enrolled_person(service)

    def withdraw() -> httpx.Response:
        return person("DELETE", f"/v1/me/consents/{consent['consent_id']}")

    with ThreadPoolExecutor(6) as executor:
        answers = [future.result() for future in [executor.submit(withdraw) for _ in range(6)]]
    events = person("GET", "/v1/me/consents").json()["items"]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["event_time"] for answer in answers}) == 1
    assert [event["state"] for event in events] == ["withdrawn", "given"]
