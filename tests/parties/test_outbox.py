"""A message is written in the transaction of its act: a consent was given, or has ended. It contains no more."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from app.callbacks.delivery_worker import DeliveryWorker
from app.jobs.maintenance import run_maintenance
from app.kit import crash_points
from app.transparency.log import signing_keys
from app.transparency.verify import jwks, jws
from tests.consent.drafts import draft, publish
from tests.parties.receivers import deliver, list_deliveries, list_outbox, run_receiver, set_url, unreachable_party
from tests.support.byte_scan import Needles, rows
from tests.support.service_fixture import Party, Person, RunningService
from tests.support.sqlite_stores import in_file

End = Callable[[RunningService, Person, Party, dict[str, Any]], None]


def withdraw(_service: RunningService, person: Person, _party: Party, consent: dict[str, Any]) -> None:
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}").raise_for_status()


def refuse(service: RunningService, person: Person, party: Party, _consent: dict[str, Any]) -> None:
    service.consent(person, party, decision="refused")


def let_expire(service: RunningService, _person: Person, _party: Party, _consent: dict[str, Any]) -> None:
    service.clock.advance(days=400)
    run_maintenance(service.vault, settings=service.settings, now=service.clock())


def erase(_service: RunningService, person: Person, _party: Party, _consent: dict[str, Any]) -> None:
    assert person("DELETE", "/v1/me").json()["status"] == "completed"


@pytest.mark.parametrize("end", [withdraw, refuse, let_expire, erase], ids=lambda end: end.__name__)
def test_a_party_gets_the_same_message_for_every_kind_of_end(
    paused_service: RunningService, worker: DeliveryWorker, end: End
) -> None:
    with run_receiver() as receiver:
        party = paused_service.party()
        set_url(paused_service, party, receiver.url)
        person, _, consent = paused_service.enrolled(face=1, party=party)
        deliver(worker)
        assert list_outbox(paused_service) == []
        end(paused_service, person, party, consent)
        deliver(worker)

    assert (receiver.events, list_outbox(paused_service)) == (["given", "ended"], [])
    claims = {"iss", "aud", "jti", "iat", "event", "subject_ref", "purpose"}
    assert [set(one) for one in receiver.messages] == [claims] * 2
    first, last = receiver.messages
    assert (first["subject_ref"], first["aud"], first["purpose"]) == (consent["subject_ref"], party.id, "verification")
    assert {name for name in first if first[name] != last[name]} <= {"jti", "iat", "event"}
    assert first["iss"] == signing_keys.log_origin(paused_service.vault.register.check_origin())


def test_consent_to_a_new_notice_sends_an_end_and_a_new_consent(
    paused_service: RunningService, worker: DeliveryWorker
) -> None:
    with run_receiver() as receiver:
        party, person = paused_service.party(), paused_service.person()
        set_url(paused_service, party, receiver.url)
        old = paused_service.consent(person, party)
        deliver(worker)
        assert receiver.events == ["given"]
        publish(paused_service.vault, draft(version=9), now=paused_service.clock())
        new = paused_service.consent(person, party)
        deliver(worker)

    assert len(receiver.messages) == 3
    assert {(one["event"], one["subject_ref"]) for one in receiver.messages[1:]} == {
        ("ended", old["subject_ref"]),
        ("given", new["subject_ref"]),
    }


def test_a_message_is_signed_by_the_key_for_events_and_identifies_no_person(
    paused_service: RunningService, worker: DeliveryWorker
) -> None:
    with run_receiver() as receiver:
        party, other = paused_service.party(), paused_service.party("Gate")
        set_url(paused_service, party, receiver.url)
        person, _, consent = paused_service.enrolled(face=1, party=party)
        elsewhere = paused_service.consent(person, other)
        deliver(worker)
        withdraw(paused_service, person, party, consent)
        deliver(worker)
    assert receiver.events == ["given", "ended"]
    needles = Needles().text("name", "Ada Canary").id("subject", person.subject_id).text("token", person.token)
    needles.id("consent", consent["consent_id"]).id("other party", other.id)
    needles.text("other reference", elsewhere["subject_ref"])
    sent = [(f"request {number}", one) for number, one in enumerate(receiver.requests)]
    payloads = [(f"payload {number}", json.dumps(one).encode()) for number, one in enumerate(receiver.messages)]

    assert needles.found(sent + payloads) == []
    published = jwks.parse_jwks(paused_service.client.get("/.well-known/jwks.json").content)
    for request in receiver.requests:
        token = jws.read_token(request.partition(b"\r\n\r\n")[2].decode())
        key = published[token.header.kid]
        assert key.mien_signs == "events"
        assert jws.verify_token(token, typ=jws.EVENT_TYPE, key=key.key)


def test_a_party_without_a_callback_gets_no_message(paused_service: RunningService, worker: DeliveryWorker) -> None:
    with run_receiver() as receiver:
        with_callback, without = paused_service.party("Door"), paused_service.party("Gate")
        set_url(paused_service, with_callback, receiver.url)
        person = paused_service.person()
        consent = paused_service.consent(person, without)
        paused_service.consent(person, None, "template_renewal")
        withdraw(paused_service, person, without, consent)
        paused_service.consent(person, with_callback)
        deliver(worker)

    assert list_deliveries(person) == [("given", "acknowledged")]
    assert len(receiver.messages) == 1
    assert list_outbox(paused_service) == []


def test_an_act_that_does_not_commit_leaves_no_message(
    paused_service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = unreachable_party(paused_service)
    person, _, consent = paused_service.enrolled(face=1, party=party)
    before = list_outbox(paused_service)

    def fail(*passed: str) -> None:
        if passed == ("withdrawal", "mien.db written"):
            raise OperationalError("", None, OSError("disk I/O error"))

    monkeypatch.setattr(crash_points, "watcher", fail)
    assert person("DELETE", f"/v1/me/consents/{consent['consent_id']}").status_code == 503
    assert list_outbox(paused_service) == before == [("given", consent["subject_ref"])]

    # Its keys are destroyed, so the next maintenance run records the end and queues the message.
    monkeypatch.undo()
    run_maintenance(paused_service.vault, settings=paused_service.settings, now=paused_service.clock())
    assert list_outbox(paused_service) == [("ended", consent["subject_ref"])]


def test_a_message_that_is_no_longer_true_is_not_sent(paused_service: RunningService, worker: DeliveryWorker) -> None:
    """An unacknowledged message that a consent was given is never sent after the consent has ended."""
    party = unreachable_party(paused_service)
    person, _, consent = paused_service.enrolled(face=1, party=party)
    deliver(worker)
    assert list_deliveries(person) == [("given", "pending")]
    withdraw(paused_service, person, party, consent)
    assert list_outbox(paused_service) == [("ended", consent["subject_ref"])]
    assert list_deliveries(person) == [("ended", "pending"), ("given", "overtaken")]

    with run_receiver() as receiver:
        set_url(paused_service, party, receiver.url)
        paused_service.clock.advance(hours=8)
        deliver(worker)
    assert (receiver.events, list_outbox(paused_service)) == (["ended"], [])


def test_the_message_does_not_depend_on_the_subjects_key(paused_service: RunningService) -> None:
    """The end is announced although the subject's list of deliveries is gone."""
    party = unreachable_party(paused_service)
    person, _, consent = paused_service.enrolled(face=1, party=party)
    erase(paused_service, person, party, consent)

    assert list_outbox(paused_service) == [("ended", consent["subject_ref"])]
    assert rows(in_file(paused_service.vault.data).path, "SELECT subject_id FROM outbox") == [(None,)]
    assert rows(in_file(paused_service.vault.data).path, "SELECT * FROM deliveries") == []
