"""A person renews a consent before it ends, on the notice that they agreed to."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.consent import renewal
from app.consent.policy import renewal_is_due, renewed_until
from app.jobs.maintenance import run_maintenance
from app.transparency.verify.canonical_json import decode_base64url
from app.web.callers import Principal, Role
from tests.consent.drafts import draft, publish
from tests.consent.spies import count
from tests.rest.conftest import slug
from tests.support.byte_scan import rows
from tests.support.service_fixture import Party, Person, RunningService
from tests.support.sqlite_stores import in_file
from tests.support.toy_faces import toy_photo

NOW = datetime(2027, 1, 31, 13, 45, tzinfo=UTC)
days = st.integers(1, 4000)


def renew_consent(person: Person, consent: dict[str, Any], **more: Any) -> httpx.Response:
    body = {"notice_sha256": consent["notice_sha256"], **more}
    return person("POST", f"/v1/me/consents/{consent['consent_id']}/renewal", json=body)


def list_due(person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = person("GET", "/v1/me").json()["renewals_due"]
    return found


def read_end(person: Person) -> str:
    (one,) = person("GET", "/v1/me/consents").json()["in_force"]
    return str(one["valid_until"])


def read_templates(service: RunningService) -> list[tuple[Any, ...]]:
    return rows(in_file(service.vault.data).path, "SELECT id, grant_id, key_generation, sealed FROM templates")


@given(st.none() | days, days, days, days)
def test_a_renewal_never_ends_a_consent_earlier(chosen: int | None, current: int, default: int, longest: int) -> None:
    ends = NOW + timedelta(days=current)
    choice = None if chosen is None else NOW + timedelta(days=chosen)
    try:
        found = renewed_until(choice, current_end=ends, now=NOW, default_days=default, longest_days=longest)
    except ValueError:
        by_default = NOW.date() + timedelta(days=default)
        assert by_default <= ends.date() if choice is None else choice < ends or choice > NOW + timedelta(days=longest)
        return

    assert found >= ends
    assert found in {ends, choice, datetime.combine(NOW.date() + timedelta(days=default), datetime.min.time(), UTC)}


@pytest.mark.parametrize(
    ("left", "expected"), [(-1, False), (0, False), (1, True), (30 * 86_400, True), (30 * 86_400 + 1, False)]
)
def test_a_renewal_is_due_in_the_last_days(left: int, *, expected: bool) -> None:
    assert renewal_is_due(NOW + timedelta(seconds=left), days=30, now=NOW) is expected


def test_only_the_end_of_the_consent_changes(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    before = read_templates(service)
    service.clock.advance(days=340)
    answer = renew_consent(person, consent)
    body = answer.json()
    default_end = (service.clock().date() + timedelta(days=365)).isoformat()

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert body["valid_until"] == f"{default_end}T00:00:00Z"
    assert not body.pop("paused")
    assert {**body, "valid_until": consent["valid_until"], "receipt": None} == {
        name: value for name, value in {**consent, "receipt": None}.items() if name != "decision"
    }
    assert read_templates(service) == before
    service.clock.advance(days=100)
    run_maintenance(service.vault, settings=service.settings, now=service.clock())
    assert party.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] == "match"


def test_a_renewal_is_an_event_with_a_receipt(service: RunningService) -> None:
    person, _, consent = service.enrolled(face=1)
    answer = renew_consent(person, consent).json()
    events = person("GET", "/v1/me/consents").json()["items"]
    receipts = person("GET", "/v1/me/receipts").json()["items"]
    payload = decode_base64url(answer["receipt"]["jws"].split(".")[1])

    assert [(one["state"], one["consent_id"]) for one in events] == [("given", consent["consent_id"])] * 2
    assert events[0]["valid_until"] == answer["valid_until"]
    assert [one["kind"] for one in receipts] == ["consent_given"] * 2
    assert f"/{answer['valid_until']}".encode() in payload


def test_giving_a_renewed_consent_again_returns_the_latest_receipt(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    answer = renew_consent(person, consent).json()

    assert service.consent(person, party)["receipt"]["jws"] == answer["receipt"]["jws"]


def test_renewals_are_due_in_the_last_thirty_days(service: RunningService) -> None:
    person, party = service.person(), service.party()
    first, second = service.consent(person, party), service.consent(person, None, "template_renewal")
    soon = service.consent(
        person, service.party("Gate"), valid_until=(service.clock() + timedelta(days=10)).isoformat()
    )
    before = [one["consent_id"] for one in list_due(person)]
    service.clock.advance(days=340)
    found = list_due(person)
    renew_consent(person, first).raise_for_status()
    after = list_due(person)

    assert before == [soon["consent_id"]]
    assert {one["consent_id"] for one in found} == {first["consent_id"], second["consent_id"]}
    assert all(one["renewable"] for one in found)
    assert [one["consent_id"] for one in after] == [second["consent_id"]]
    assert list_due(service.person()) == []


def test_a_chosen_end_has_the_same_limits(service: RunningService) -> None:
    person, _, consent = service.enrolled(face=1)
    now = service.clock()
    choices = {
        "past": now - timedelta(days=1),
        "before the present end": now + timedelta(days=364),
        "too late": now + timedelta(days=1100),
        "good": (now + timedelta(days=1000)).replace(microsecond=0),
    }
    answers = {name: renew_consent(person, consent, valid_until=at.isoformat()) for name, at in choices.items()}
    faults = [one.json()["errors"][0]["pointer"] for one in answers.values() if one.status_code == 422]

    assert [one.status_code for one in answers.values()] == [422, 422, 422, 200]
    assert faults == ["/valid_until"] * 3
    assert datetime.fromisoformat(read_end(person)) == choices["good"]
    assert renew_consent(person, consent).status_code == 422, "the default end would be earlier"


def test_a_replaced_notice_needs_a_new_consent(service: RunningService) -> None:
    person, _, consent = service.enrolled(face=1)
    other = renew_consent(person, consent, notice_sha256=service.notice("identification"))
    new = publish(service.vault, draft(version=9), now=service.clock())
    superseded, never_read = renew_consent(person, consent), renew_consent(person, consent, notice_sha256=new)
    service.clock.advance(days=340)
    (one,) = list_due(person)

    assert [slug(answer) for answer in (other, superseded, never_read)] == [(409, "notice-changed")] * 3
    assert read_end(person) == consent["valid_until"]
    assert one["renewable"] is False
    assert count(service.vault, "consent_events") == 1


def withdraw(_service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}").raise_for_status()


def expire(service: RunningService, _person: Person, _consent: dict[str, Any]) -> None:
    service.clock.advance(days=366)


def expire_with_maintenance(service: RunningService, _person: Person, _consent: dict[str, Any]) -> None:
    service.clock.advance(days=366)
    run_maintenance(service.vault, settings=service.settings, now=service.clock())


@pytest.mark.parametrize("end", [withdraw, expire, expire_with_maintenance])
def test_an_ended_consent_cannot_be_renewed(service: RunningService, end: Callable[..., None]) -> None:
    person, _, consent = service.enrolled(face=1)
    end(service, person, consent)
    answer = renew_consent(person, consent)

    assert slug(answer) == (403, "consent-required")
    assert person("GET", "/v1/me/consents").json()["in_force"] == []


def test_a_consent_of_another_person_is_not_found(service: RunningService) -> None:
    _, party, consent = service.enrolled(face=1)
    other = service.person()
    service.consent(other, party)
    of_other, unknown = renew_consent(other, consent), renew_consent(other, {**consent, "consent_id": str(uuid4())})

    assert [slug(one) for one in (of_other, unknown)] == [(404, "not-found")] * 2
    assert of_other.content == unknown.content


def test_a_consent_to_a_revoked_party_cannot_be_renewed(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    with service.vault.data.write() as session:
        session.connection().exec_driver_sql("UPDATE relying_parties SET revoked_on = '2026-01-01'")
    answer = renew_consent(person, consent)

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/consent_id")
    assert party.id


def test_a_consent_can_be_renewed_during_a_restriction(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    person("PUT", "/v1/me/restriction").raise_for_status()

    assert renew_consent(person, consent).status_code == 200
    assert party.verify(consent["subject_ref"], toy_photo(1)).status_code == 404


def test_a_renewal_that_waits_past_the_expiry_is_refused(service: RunningService) -> None:
    """The time of a renewal is read in its transaction, not at the beginning of the request."""
    person, _, consent = service.enrolled(face=1)
    by = _principal(service, person)
    errors: list[Exception] = []
    service.clock.advance(days=364)

    def renew() -> None:
        try:
            renewal.renew(
                service.vault,
                by=by,
                consent_id=UUID(consent["consent_id"]),
                notice_sha256=consent["notice_sha256"],
                facts=service.facts,
                chosen_end=None,
                settings=service.settings,
                clock=service.clock,
            )
        except Exception as error:  # noqa: BLE001 - checked below
            errors.append(error)

    thread = threading.Thread(target=renew)
    with service.vault.data.write():
        thread.start()
        service.clock.advance(days=2)
    thread.join()

    assert [type(error).__name__ for error in errors] == ["ConsentRequiredError"]


def _principal(service: RunningService, person: Person) -> Principal:
    ((token_id,),) = rows(in_file(service.vault.data).path, "SELECT id FROM tokens WHERE kind = 'access'")
    return Principal(Role.PERSON, UUID(person.subject_id), UUID(token_id))


def test_a_renewal_during_a_withdrawal_never_leaves_a_consent(service: RunningService) -> None:
    party = service.party()
    for _ in range(6):
        person = service.person()
        consent = service.consent(person, party)
        started = threading.Barrier(2)
        codes: dict[str, int] = {}

        def renew(
            person: Person = person, consent: dict[str, Any] = consent, started: threading.Barrier = started
        ) -> None:
            started.wait()
            codes["renewed"] = renew_consent(person, consent).status_code  # noqa: B023 - joined before the next

        thread = threading.Thread(target=renew)
        thread.start()
        started.wait()
        ended = person("DELETE", f"/v1/me/consents/{consent['consent_id']}").status_code
        thread.join()
        states = [one["state"] for one in person("GET", "/v1/me/consents").json()["items"]]

        assert (ended, codes["renewed"]) in {(200, 200), (200, 403)}
        assert states[0] == "withdrawn"
        assert person("GET", "/v1/me/consents").json()["in_force"] == []


def test_a_renewal_changes_nothing_for_the_relying_party(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    before = party("GET", "/v1/relying-party/subjects").json()
    renew_consent(person, consent)

    assert party("GET", "/v1/relying-party/subjects").json() == before
    assert isinstance(party, Party)
