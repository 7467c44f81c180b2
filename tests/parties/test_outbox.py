"""A relying party is told with the act itself: that a consent was given, or has ended, and nothing besides."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from app.kit import steps
from app.ledger import jwks, jws, keys
from app.rights.sweep import sweep
from tests.bytescan import Needles, files_under, rows
from tests.consent.drafts import draft, publish
from tests.house import House, Party, Person
from tests.parties.receivers import answering, call_back, closed_port, receiving, until, until_later

STILL = "what a relying party is still to be told"
NO = answering(b"HTTP/1.1 503 Not now\r\nContent-Length: 0\r\n\r\n")


def waiting(house: House) -> list[tuple[str, str]]:
    """Read what is in the outbox, past the service."""
    return rows(house.vault.data.path, "SELECT event, subject_ref FROM outbox ORDER BY event")


def deliveries(person: Person) -> list[tuple[str, str]]:
    """Return the person's own list, newest first: event and state."""
    items = person("GET", "/v1/me/deliveries").json()["items"]
    return [(one["event"], one["state"]) for one in items]


def tries(person: Person) -> int:
    """Return how often the newest was sent."""
    count: int = person("GET", "/v1/me/deliveries").json()["items"][0]["tries"]
    return count


def wait_for_try(person: Person, *, after: int = 0) -> None:
    until(lambda: tries(person) > after)


def dead(house: House, name: str = "Door") -> Party:
    """Return a party whose callback nobody answers."""
    party = house.party(name)
    call_back(house, party, f"http://127.0.0.1:{closed_port()}/")
    return party


def withdrawn(_house: House, person: Person, _party: Party, consent: dict[str, Any]) -> None:
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}").raise_for_status()


def refused(house: House, person: Person, party: Party, _consent: dict[str, Any]) -> None:
    house.consent(person, party, decision="refused")


def expired(house: House, _person: Person, _party: Party, _consent: dict[str, Any]) -> None:
    house.clock.advance(days=400)
    sweep(house.vault, settings=house.settings, now=house.clock())


def erased(_house: House, person: Person, _party: Party, _consent: dict[str, Any]) -> None:
    assert person("DELETE", "/v1/me").json()["status"] == "completed"


ENDINGS: list[Callable[[House, Person, Party, dict[str, Any]], None]] = [withdrawn, refused, expired, erased]


@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
def test_a_party_is_told_of_giving_and_of_every_ending_alike(
    telling: House, end: Callable[[House, Person, Party, dict[str, Any]], None]
) -> None:
    with receiving() as receiver:
        party = telling.party()
        call_back(telling, party, receiver.url)
        person, _, consent = telling.enrolled(face=1, party=party)
        until(lambda: waiting(telling) == [])
        end(telling, person, party, consent)
        until(lambda: receiver.events == ["given", "ended"] and waiting(telling) == [])

    assert [set(one) for one in receiver.told] == [{"iss", "aud", "jti", "iat", "event", "subject_ref", "purpose"}] * 2
    first, last = receiver.told
    assert (first["subject_ref"], first["aud"], first["purpose"]) == (consent["subject_ref"], party.id, "verification")
    assert {name for name in first if first[name] != last[name]} <= {"jti", "iat", "event"}
    assert first["iss"] == keys.origin_of(telling.vault.register.origin())


def test_a_consent_on_a_new_notice_is_an_ending_and_another_giving(telling: House) -> None:
    with receiving() as receiver:
        party, person = telling.party(), telling.person()
        call_back(telling, party, receiver.url)
        old = telling.consent(person, party)
        until(lambda: receiver.events == ["given"])
        publish(telling.vault, draft(version=9), now=telling.clock())
        new = telling.consent(person, party)
        until(lambda: len(receiver.told) == 3)

    assert {(one["event"], one["subject_ref"]) for one in receiver.told[1:]} == {
        ("ended", old["subject_ref"]),
        ("given", new["subject_ref"]),
    }


def test_a_message_is_signed_by_the_key_for_events_and_names_nobody(telling: House) -> None:
    with receiving() as receiver:
        party, other = telling.party(), telling.party("Gate")
        call_back(telling, party, receiver.url)
        person, _, consent = telling.enrolled(face=1, party=party)
        elsewhere = telling.consent(person, other)
        until(lambda: receiver.told)
        withdrawn(telling, person, party, consent)
        until(lambda: receiver.events == ["given", "ended"])
    needles = Needles().text("name", "Ada Canary").id("subject", person.subject_id).text("token", person.token)
    needles.id("consent", consent["consent_id"]).id("other party", other.id)
    needles.text("other reference", elsewhere["subject_ref"])
    sent = [(f"request {number}", one) for number, one in enumerate(receiver.requests)]
    payloads = [(f"payload {number}", json.dumps(one).encode()) for number, one in enumerate(receiver.told)]

    assert needles.found(sent + payloads) == []
    published = jwks.read(telling.client.get("/.well-known/jwks.json").content)
    for request in receiver.requests:
        token = jws.token(request.partition(b"\r\n\r\n")[2].decode())
        key = published[token.header.kid]
        assert key.mien_signs == "events"
        assert jws.payload_of(token, typ=jws.EVENT, key=key.key)


def test_nothing_is_written_or_sent_for_a_party_without_a_callback(telling: House) -> None:
    with receiving() as receiver:
        told, untold = telling.party("Door"), telling.party("Gate")
        call_back(telling, told, receiver.url)
        person = telling.person()
        consent = telling.consent(person, untold)
        telling.consent(person, None, "template_renewal")
        withdrawn(telling, person, untold, consent)
        telling.consent(person, told)
        until(lambda: deliveries(person) == [("given", "acknowledged")])

    assert len(receiver.told) == 1
    assert waiting(telling) == []


def test_an_act_that_does_not_commit_leaves_no_message(telling: House, monkeypatch: pytest.MonkeyPatch) -> None:
    party = dead(telling)
    person, _, consent = telling.enrolled(face=1, party=party)
    before = waiting(telling)

    def fail(*passed: str) -> None:
        if passed == ("withdrawal", "mien.db written"):
            raise OperationalError("", None, OSError("disk I/O error"))

    monkeypatch.setattr(steps, "watcher", fail)
    assert person("DELETE", f"/v1/me/consents/{consent['consent_id']}").status_code == 503
    assert waiting(telling) == before == [("given", consent["subject_ref"])]

    # Its keys are gone: the next sweep says how it ended, and tells of it.
    monkeypatch.undo()
    sweep(telling.vault, settings=telling.settings, now=telling.clock())
    assert waiting(telling) == [("ended", consent["subject_ref"])]


def test_what_is_true_no_more_is_not_told(telling: House) -> None:
    """A giving that nobody acknowledged is never sent after its consent has ended."""
    party = dead(telling)
    person, _, consent = telling.enrolled(face=1, party=party)
    until(lambda: deliveries(person) == [("given", "pending")])
    withdrawn(telling, person, party, consent)
    assert waiting(telling) == [("ended", consent["subject_ref"])]
    assert deliveries(person) == [("ended", "pending"), ("given", "overtaken")]

    with receiving() as receiver:
        call_back(telling, party, receiver.url)
        until_later(telling, lambda: waiting(telling) == [])
    assert receiver.events == ["ended"]


def test_without_the_persons_key_a_party_is_still_told(telling: House) -> None:
    """An ending does not depend on its own record: they have no line of it, and it is sent all the same."""
    party = dead(telling)
    person, _, consent = telling.enrolled(face=1, party=party)
    erased(telling, person, party, consent)

    assert waiting(telling) == [("ended", consent["subject_ref"])]
    assert rows(telling.vault.data.path, "SELECT subject_id FROM outbox") == [(None,)]
    assert rows(telling.vault.data.path, "SELECT * FROM deliveries") == []


# --- The person


def test_the_person_sees_each_delivery_newest_first_and_nobody_elses(telling: House) -> None:
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


def test_access_and_export_give_what_is_told_and_what_is_still_to_be(telling: House) -> None:
    party = dead(telling)
    person, _, consent = telling.enrolled(face=1, party=party)
    wait_for_try(person)
    held = person("GET", "/v1/me/access").json()["data"]

    (message,), (line,) = held["outbox"], held["deliveries"]
    assert message["subject_ref"] == consent["subject_ref"]
    assert (message["id"], message["event"], message["attempts"]) == (line["id"], "given", 1)
    assert line["content"]["outcome"] == "pending"
    assert person("GET", "/v1/me/export").status_code == 200


def test_the_log_has_what_came_of_it(telling: House) -> None:
    with receiving() as receiver:
        party = telling.party()
        call_back(telling, party, receiver.url)
        person, _, _ = telling.enrolled(face=1, party=party)
        until(lambda: deliveries(person) == [("given", "acknowledged")])
    entries = [one["content"]["record"] for one in person("GET", "/v1/me/access").json()["data"]["entries"]]

    (entry,) = [one for one in entries if one["act"] == "delivery"]
    assert (entry["event"], entry["outcome"], entry["relying_party_id"]) == ("given", "acknowledged", party.id)


# --- Erasure


def test_erasure_names_what_is_still_to_be_told_until_it_is(telling: House) -> None:
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


def test_pending_message_of_an_erased_person_holds_what_is_named_and_no_more(telling: House) -> None:
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
    assert telling.vault.scrub()
    assert reference.found(files_under(telling.root)) == []


def test_retention_policy_names_it(telling: House) -> None:
    policy = telling.client.get("/v1/retention-policy").json()["items"]
    (rule,) = [one for one in policy if one["what"].startswith(STILL)]

    assert "7 days" in rule["how_long"]


# --- Time


def test_it_is_given_up_after_its_days_and_not_before(telling: House) -> None:
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


def test_without_a_callback_any_more_it_is_given_up_too(telling: House) -> None:
    party = dead(telling)
    person, _, _ = telling.enrolled(face=1, party=party)
    call_back(telling, party, None)
    telling.clock.advance(days=8)

    until(lambda: deliveries(person) == [("given", "failed")])


def test_back_after_two_days_it_is_told(telling: House) -> None:
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


def test_one_that_is_refused_does_not_hold_up_the_others(telling: House) -> None:
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
