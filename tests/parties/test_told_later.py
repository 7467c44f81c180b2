"""What the person sees of it, what outlives them, and what time does: messages are tried for days, and given up."""

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.parties.receivers import (
    answering,
    call_back,
    closed_port,
    dead,
    deliveries,
    receiving,
    tries,
    until,
    until_later,
    wait_for_try,
    waiting,
)
from tests.support.byte_scan import Needles, files_under
from tests.support.service_fixture import RunningService

STILL = "what a relying party is still to be told"
NO = answering(b"HTTP/1.1 503 Not now\r\nContent-Length: 0\r\n\r\n")


def test_the_person_sees_each_delivery_newest_first_and_nobody_elses(telling: RunningService) -> None:
    with receiving() as receiver:
        good, bad = telling.party("Door"), dead(telling, "Gate")
        call_back(telling, good, receiver.url)
        person, other = telling.person(), telling.person("Ben")
        for party in (good, bad):
            telling.consent(person, party)
        telling.consent(other, good)
        until(lambda: deliveries(person) == [("given", "pending"), ("given", "acknowledged")])
        wait_for_try(person)
        until(lambda: deliveries(other) == [("given", "acknowledged")])
        page = person("GET", "/v1/me/deliveries", params={"limit": 1}).json()
        rest = person("GET", "/v1/me/deliveries", params={"limit": 1, "after": page["next"]}).json()

    (pending,), (acknowledged,) = page["items"], rest["items"]
    assert (pending["relying_party"], acknowledged["relying_party"]) == ("Gate", "Door")
    assert (pending["settled_at"], rest["next"]) == (None, None)
    assert acknowledged["settled_at"] is not None
    assert pending["last_tried_at"] is not None
    assert telling.client.get("/v1/me/deliveries").status_code == 401
    assert good("GET", "/v1/me/deliveries").status_code == 403


def test_access_and_export_give_what_is_told_and_what_is_still_to_be(telling: RunningService) -> None:
    party = dead(telling)
    person, _, consent = telling.enrolled(face=1, party=party)
    wait_for_try(person)
    held = person("GET", "/v1/me/access").json()["data"]

    (message,), (line,) = held["outbox"], held["deliveries"]
    assert message["subject_ref"] == consent["subject_ref"]
    assert (message["id"], message["event"], message["attempts"]) == (line["id"], "given", 1)
    assert line["content"]["outcome"] == "pending"
    assert person("GET", "/v1/me/export").status_code == 200


def test_the_log_has_what_came_of_it(telling: RunningService) -> None:
    with receiving() as receiver:
        party = telling.party()
        call_back(telling, party, receiver.url)
        person, _, _ = telling.enrolled(face=1, party=party)
        until(lambda: deliveries(person) == [("given", "acknowledged")])
    entries = [one["content"]["record"] for one in person("GET", "/v1/me/access").json()["data"]["entries"]]

    (entry,) = [one for one in entries if one["act"] == "delivery"]
    assert (entry["event"], entry["outcome"], entry["relying_party_id"]) == ("given", "acknowledged", party.id)


# --- Erasure


def test_erasure_names_what_is_still_to_be_told_until_it_is(telling: RunningService) -> None:
    party, other = dead(telling), dead(telling, "Gate")
    person, _, consent = telling.enrolled(face=1, party=party)
    telling.consent(person, other)
    bystander, _, _ = telling.enrolled(face=2, party=party)
    answer = person("DELETE", "/v1/me").json()
    theirs = bystander("DELETE", "/v1/me").json()

    def kept(erasure: dict[str, Any]) -> set[str]:
        found = telling.client.get(f"/v1/erasures/{erasure['erasure_id']}").json()
        return {one["what"] for one in found["kept"]}

    assert answer["status"] == "completed"
    (named,) = [one for one in answer["kept"] if one["what"] == STILL]
    assert "7 days" in named["why"]
    assert STILL in kept(answer)
    with receiving() as receiver:
        call_back(telling, other, receiver.url)
        until_later(telling, lambda: receiver.events == ["ended"])
        assert STILL in kept(answer), "the door is still to be told"
        call_back(telling, party, receiver.url)
        until_later(telling, lambda: waiting(telling) == [])

    assert STILL not in kept(answer)
    assert STILL not in kept(theirs)
    assert len(receiver.told) == 3
    assert consent["subject_ref"] in {one["subject_ref"] for one in receiver.told}


def test_pending_message_of_an_erased_person_holds_what_is_named_and_no_more(telling: RunningService) -> None:
    party = dead(telling)
    person, _, consent = telling.enrolled(face=1, party=party)
    needles = Needles().text("name", "Ada Canary").id("subject", person.subject_id)
    needles.id("consent", consent["consent_id"])
    reference = Needles().text("reference", consent["subject_ref"])
    person("DELETE", "/v1/me")

    assert needles.found(files_under(telling.root)) == []
    assert reference.found(files_under(telling.root)) != []
    with receiving() as receiver:
        call_back(telling, party, receiver.url)
        until_later(telling, lambda: receiver.events == ["ended"] and waiting(telling) == [])
    assert telling.vault.vacuum_and_checkpoint()
    assert reference.found(files_under(telling.root)) == []


def test_retention_policy_names_it(telling: RunningService) -> None:
    policy = telling.client.get("/v1/retention-policy").json()["items"]
    (rule,) = [one for one in policy if one["what"].startswith("a message to a relying party")]

    assert "7 days" in rule["how_long"]


# --- Time


def test_it_is_given_up_after_its_days_and_not_before(telling: RunningService) -> None:
    party = dead(telling)
    person, _, _ = telling.enrolled(face=1, party=party)
    for _ in range(7):
        before = tries(person)
        # A wait that a try has just set is over by then too.
        time.sleep(0.2)
        telling.clock.advance(days=1)
        wait_for_try(person, after=before)
        assert deliveries(person) == [("given", "pending")]
    time.sleep(0.2)
    telling.clock.advance(days=1)
    until(lambda: deliveries(person) == [("given", "failed")])

    assert waiting(telling) == []


def test_without_a_callback_any_more_it_is_given_up_too(telling: RunningService) -> None:
    party = dead(telling)
    person, _, _ = telling.enrolled(face=1, party=party)
    call_back(telling, party, None)
    telling.clock.advance(days=8)

    until(lambda: deliveries(person) == [("given", "failed")])


def test_back_after_two_days_it_is_told(telling: RunningService) -> None:
    port = closed_port()
    party = telling.party()
    call_back(telling, party, f"http://127.0.0.1:{port}/told")
    person, _, consent = telling.enrolled(face=1, party=party)
    wait_for_try(person)
    with receiving(port=port) as receiver:
        telling.clock.advance(seconds=20)
        assert receiver.told == [], "not before the first wait is over"
        telling.clock.advance(days=2)
        until(lambda: deliveries(person) == [("given", "acknowledged")])

    assert [one["subject_ref"] for one in receiver.told] == [consent["subject_ref"]]
    assert receiver.told[0]["iat"] >= (telling.clock() - timedelta(minutes=1)).timestamp(), "signed when it is sent"


def test_one_that_is_refused_does_not_hold_up_the_others(telling: RunningService) -> None:
    with receiving(NO) as receiver:
        party = telling.party()
        call_back(telling, party, receiver.url)
        first, _, _ = telling.enrolled(face=1, party=party)
        until(lambda: len(receiver.told) == 1)
        second, _, _ = telling.enrolled(face=2, party=party)
        until(lambda: len(receiver.told) == 2)
        receiver.behaviour = answering(b"HTTP/1.1 200 OK\r\n\r\n")
        until_later(telling, lambda: deliveries(first) == deliveries(second) == [("given", "acknowledged")])

    assert len({one["jti"] for one in receiver.told}) == 2, "the same id at each try"
    assert len(receiver.told) == 4
    assert UUID(receiver.told[0]["jti"])
