"""Two services on the same data: an end in one holds in the other, and each job is done once."""

import base64
import socket
import time
from collections import Counter
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.parties.receivers import OK, run_receiver
from tests.processes.conftest import Pair
from tests.support.launcher import Program
from tests.support.service_fixture import Party, Person
from tests.support.waiting import wait_until

JOBS = {"sweep", "callbacks", "batch", "renewal"}
MESSAGES = 12


def at(person: Person, service: Program) -> Person:
    """Return the same person, who calls another service."""
    return Person(service.client, person.subject_id, person.token, person.recovery_code)


def give_consent(person: Person, party: Party, service: Program) -> dict[str, Any]:
    notices = service.client.get("/v1/notices").json()["items"]
    notice = next(one["sha256"] for one in notices if one["purpose"] == "verification")
    consent = {"purpose": "verification", "relying_party_id": party.id, "notice_sha256": notice}
    answer = person("POST", "/v1/me/consents", json=consent)
    assert answer.is_success, answer.text
    given: dict[str, Any] = answer.json()
    return given


def samples(service: Program, metric: str) -> dict[str, float]:
    """Return the values of a metric, by its label `name`."""
    text = service.client.get("/metrics").text
    found = (one for family in text_string_to_metric_families(text) for one in family.samples)
    return {one.labels.get("name", ""): one.value for one in found if one.name == metric}


def jobs_of(service: Program) -> set[str]:
    """Return the jobs that this process does, of those that only one does."""
    return JOBS & samples(service, "mien_job_age_seconds").keys()


def answer_late(caller: socket.socket) -> None:
    """Take a tenth of a second for a message, so that a kill meets one in the middle."""
    time.sleep(0.1)
    caller.sendall(OK)


def calls(party: Party, service: Program) -> httpx.Response:
    return Party(service.client, party.id, party.key)("GET", "/v1/relying-party")


def test_an_end_in_one_holds_in_the_other_at_once(pair: Pair) -> None:
    one, other = pair
    person, party = one.person("Ada"), one.party()
    consent = give_consent(person, party, one)
    there = at(person, other)

    def count_in_force() -> int:
        return len(there("GET", "/v1/me/consents").json()["in_force"])

    assert count_in_force() == 1
    assert person("DELETE", f"/v1/me/consents/{consent['consent_id']}").is_success
    assert count_in_force() == 0

    assert there("PUT", "/v1/me/restriction").is_success
    assert person("GET", "/v1/me").json()["restricted"] is True

    added = person("POST", "/v1/me/tokens").json()
    device = Person(other.client, person.subject_id, added["access_token"], "")
    assert device("GET", "/v1/me").is_success
    assert person("DELETE", f"/v1/me/tokens/{added['token_id']}").status_code == 204
    assert device("GET", "/v1/me").status_code == 401

    assert calls(party, one).is_success
    assert calls(party, other).is_success
    one.command("relying-party", "rotate-key", party.id)
    assert [calls(party, service).status_code for service in pair] == [401, 401]


def test_a_recovery_code_is_no_easier_to_guess_by_more_processes(pair: Pair) -> None:
    # Each process limits wrong codes by itself, since no address is written to disk.
    code = pair[0].person("Ada").recovery_code.removeprefix("mien_rec_")

    assert len(base64.urlsafe_b64decode(f"{code}=")) * 8 >= 256


def test_a_key_of_a_request_has_one_effect_in_two_processes(pair: Pair) -> None:
    headers = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}
    body = {"declared_adult": True, "display_name": "Ada"}
    answers = [service.client.post("/v1/subjects", json=body, headers=headers) for service in pair]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()


def test_each_job_is_done_by_one_and_the_other_goes_on_when_it_dies(pair: Pair) -> None:
    wait_until(lambda: jobs_of(pair[0]) | jobs_of(pair[1]) == JOBS)
    assert not jobs_of(pair[0]) & jobs_of(pair[1])

    busy, idle = sorted(pair, key=lambda service: len(jobs_of(service)), reverse=True)
    busy.kill()

    wait_until(lambda: jobs_of(idle) == JOBS)
    assert idle.command("verify-log")["whole"] is True


def test_each_message_is_sent_once(pair: Pair) -> None:
    one, other = pair
    with run_receiver() as receiver:
        parties = [one.party("Door"), one.party("Gate")]
        for party in parties:
            one.command("relying-party", "callback", party.id, receiver.url)
        for number in range(MESSAGES // 2):
            person = one.person(f"Person {number}")
            for party, service in zip(parties, pair, strict=True):
                give_consent(at(person, service), party, service)
        wait_until(lambda: samples(other, "mien_outbox_messages") == {"": 0})

    assert Counter(message["jti"] for message in receiver.messages).most_common(1)[0][1] == 1
    assert len(receiver.messages) == MESSAGES


def test_a_killed_sender_repeats_no_more_than_the_message_that_it_was_sending(pair: Pair) -> None:
    wait_until(lambda: "callbacks" in jobs_of(pair[0]) | jobs_of(pair[1]))
    sender, other = pair if "callbacks" in jobs_of(pair[0]) else (pair[1], pair[0])
    with run_receiver(answer_late) as receiver:
        party = other.party()
        other.command("relying-party", "callback", party.id, receiver.url)
        for number in range(MESSAGES):
            give_consent(other.person(f"Person {number}"), party, other)
        wait_until(lambda: len(receiver.requests) >= 2)
        sender.kill()
        before = len(receiver.requests)
        wait_until(lambda: samples(other, "mien_outbox_messages") == {"": 0})

    ids = [message["jti"] for message in receiver.messages]
    assert len(set(ids)) == MESSAGES
    assert before < MESSAGES, "it was killed in the middle"
    assert len(ids) - MESSAGES <= 1, "a relying party gets one message at a time, so one was being sent"
