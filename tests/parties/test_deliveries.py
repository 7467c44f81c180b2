"""The subject sees each delivery; messages outlive an erasure; they are tried for days, then given up."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from app.callbacks.delivery_worker import DeliveryWorker
from tests.parties.receivers import (
    answer_with,
    closed_port,
    count_tries,
    deliver,
    list_deliveries,
    list_outbox,
    run_receiver,
    set_url,
    unreachable_party,
)
from tests.support.byte_scan import Needles, files_under
from tests.support.service_fixture import RunningService

PENDING_MESSAGES = "messages that a relying party has not yet received"
REFUSAL = answer_with(b"HTTP/1.1 503 Not now\r\nContent-Length: 0\r\n\r\n")
PAST_EVERY_WAIT_H = 8


def test_a_person_sees_their_own_deliveries_newest_first(
    paused_service: RunningService, worker: DeliveryWorker
) -> None:
    with run_receiver() as receiver:
        good, bad = paused_service.party("Door"), unreachable_party(paused_service, "Gate")
        set_url(paused_service, good, receiver.url)
        person, other = paused_service.person(), paused_service.person("Ben")
        for party in (good, bad):
            paused_service.consent(person, party)
        paused_service.consent(other, good)
        deliver(worker)
    page = person("GET", "/v1/me/deliveries", params={"limit": 1}).json()
    rest = person("GET", "/v1/me/deliveries", params={"limit": 1, "after": page["next"]}).json()

    assert list_deliveries(person) == [("given", "pending"), ("given", "acknowledged")]
    assert list_deliveries(other) == [("given", "acknowledged")]
    (pending,), (acknowledged,) = page["items"], rest["items"]
    assert (pending["relying_party"], acknowledged["relying_party"]) == ("Gate", "Door")
    assert (pending["settled_at"], rest["next"]) == (None, None)
    assert acknowledged["settled_at"] is not None
    assert pending["last_tried_at"] is not None
    assert paused_service.client.get("/v1/me/deliveries").status_code == 401
    assert good("GET", "/v1/me/deliveries").status_code == 403


def test_access_and_export_contain_deliveries_and_waiting_messages(
    paused_service: RunningService, worker: DeliveryWorker
) -> None:
    party = unreachable_party(paused_service)
    person, _, consent = paused_service.enrolled(face=1, party=party)
    deliver(worker)
    held = person("GET", "/v1/me/access").json()["data"]

    (message,), (line,) = held["outbox"], held["deliveries"]
    assert message["subject_ref"] == consent["subject_ref"]
    assert (message["id"], message["event"], message["attempts"]) == (line["id"], "given", 1)
    assert line["content"]["outcome"] == "pending"
    assert person("GET", "/v1/me/export").status_code == 200


def test_the_transparency_log_records_the_outcome(paused_service: RunningService, worker: DeliveryWorker) -> None:
    with run_receiver() as receiver:
        party = paused_service.party()
        set_url(paused_service, party, receiver.url)
        person, _, _ = paused_service.enrolled(face=1, party=party)
        deliver(worker)
    entries = [one["content"]["record"] for one in person("GET", "/v1/me/access").json()["data"]["entries"]]

    assert list_deliveries(person) == [("given", "acknowledged")]
    (entry,) = [one for one in entries if one["act"] == "delivery"]
    assert (entry["event"], entry["outcome"], entry["relying_party_id"]) == ("given", "acknowledged", party.id)


# --- Erasure


def test_an_erasure_lists_waiting_messages_until_they_are_delivered(
    paused_service: RunningService, worker: DeliveryWorker
) -> None:
    party, other = unreachable_party(paused_service), unreachable_party(paused_service, "Gate")
    person, _, consent = paused_service.enrolled(face=1, party=party)
    paused_service.consent(person, other)
    second_person, _, _ = paused_service.enrolled(face=2, party=party)
    deliver(worker)
    answer = person("DELETE", "/v1/me").json()
    second_answer = second_person("DELETE", "/v1/me").json()

    def kept(erasure: dict[str, Any]) -> set[str]:
        found = paused_service.client.get(f"/v1/erasures/{erasure['erasure_id']}").json()
        return {one["what"] for one in found["kept"]}

    assert answer["status"] == "completed"
    (named,) = [one for one in answer["kept"] if one["what"] == PENDING_MESSAGES]
    assert "7 days" in named["why"]
    assert PENDING_MESSAGES in kept(answer)
    with run_receiver() as receiver:
        set_url(paused_service, other, receiver.url)
        paused_service.clock.advance(hours=PAST_EVERY_WAIT_H)
        deliver(worker)
        assert receiver.events == ["ended"]
        assert PENDING_MESSAGES in kept(answer), "the message to the door is still waiting"
        set_url(paused_service, party, receiver.url)
        paused_service.clock.advance(hours=PAST_EVERY_WAIT_H)
        deliver(worker)

    assert list_outbox(paused_service) == []
    assert PENDING_MESSAGES not in kept(answer)
    assert PENDING_MESSAGES not in kept(second_answer)
    assert len(receiver.messages) == 3
    assert consent["subject_ref"] in {one["subject_ref"] for one in receiver.messages}


def test_the_waiting_message_of_an_erased_person_contains_only_their_reference(
    paused_service: RunningService, worker: DeliveryWorker
) -> None:
    party = unreachable_party(paused_service)
    person, _, consent = paused_service.enrolled(face=1, party=party)
    needles = Needles().text("name", "Ada Canary").id("subject", person.subject_id)
    needles.id("consent", consent["consent_id"])
    reference = Needles().text("reference", consent["subject_ref"])
    person("DELETE", "/v1/me")

    assert needles.found(files_under(paused_service.root)) == []
    assert reference.found(files_under(paused_service.root)) != []
    with run_receiver() as receiver:
        set_url(paused_service, party, receiver.url)
        deliver(worker)
    assert (receiver.events, list_outbox(paused_service)) == (["ended"], [])
    assert paused_service.vault.vacuum_and_checkpoint()
    assert reference.found(files_under(paused_service.root)) == []


def test_the_retention_policy_has_a_rule_for_messages(service: RunningService) -> None:
    policy = service.client.get("/v1/retention-policy").json()["items"]
    (rule,) = [one for one in policy if one["what"].startswith("a message to a relying party")]

    assert "7 days" in rule["how_long"]


# --- Time


def test_a_message_is_given_up_after_its_days_and_not_before(
    paused_service: RunningService, worker: DeliveryWorker
) -> None:
    party = unreachable_party(paused_service)
    person, _, _ = paused_service.enrolled(face=1, party=party)
    deliver(worker)
    for day in range(1, 8):
        paused_service.clock.advance(days=1)
        deliver(worker)
        assert list_deliveries(person) == [("given", "pending")]
        assert count_tries(person) == day + 1
    paused_service.clock.advance(days=1)
    deliver(worker)

    assert list_deliveries(person) == [("given", "failed")]
    assert list_outbox(paused_service) == []


def test_a_message_is_given_up_when_the_callback_was_removed(
    paused_service: RunningService, worker: DeliveryWorker
) -> None:
    party = unreachable_party(paused_service)
    person, _, _ = paused_service.enrolled(face=1, party=party)
    set_url(paused_service, party, None)
    paused_service.clock.advance(days=8)
    deliver(worker)

    assert list_deliveries(person) == [("given", "failed")]


def test_a_party_that_is_reachable_again_gets_the_message(
    paused_service: RunningService, worker: DeliveryWorker
) -> None:
    port = closed_port()
    party = paused_service.party()
    set_url(paused_service, party, f"http://127.0.0.1:{port}/events")
    person, _, consent = paused_service.enrolled(face=1, party=party)
    deliver(worker)
    with run_receiver(port=port) as receiver:
        deliver(worker)
        assert receiver.messages == [], "not before the first wait is over"
        paused_service.clock.advance(days=2)
        deliver(worker)

    assert list_deliveries(person) == [("given", "acknowledged")]
    assert [one["subject_ref"] for one in receiver.messages] == [consent["subject_ref"]]
    earliest = (paused_service.clock() - timedelta(minutes=1)).timestamp()
    assert receiver.messages[0]["iat"] >= earliest, "signed when it is sent"


def test_a_refused_message_does_not_delay_the_others(paused_service: RunningService, worker: DeliveryWorker) -> None:
    with run_receiver(REFUSAL) as receiver:
        party = paused_service.party()
        set_url(paused_service, party, receiver.url)
        first, _, _ = paused_service.enrolled(face=1, party=party)
        deliver(worker)
        assert len(receiver.messages) == 1
        second, _, _ = paused_service.enrolled(face=2, party=party)
        deliver(worker)
        assert len(receiver.messages) == 2
        receiver.behaviour = answer_with(b"HTTP/1.1 200 OK\r\n\r\n")
        paused_service.clock.advance(hours=PAST_EVERY_WAIT_H)
        deliver(worker)

    assert list_deliveries(first) == list_deliveries(second) == [("given", "acknowledged")]
    assert len({one["jti"] for one in receiver.messages}) == 2, "the same id at each try"
    assert len(receiver.messages) == 4
    assert UUID(receiver.messages[0]["jti"])
