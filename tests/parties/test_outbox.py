"""A relying party is told with the act itself: that a consent was given, or has ended, and nothing besides."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from app.jobs.maintenance import run_maintenance
from app.kit import crash_points
from app.transparency.log import signing_keys
from app.transparency.verify import jwks, jws
from tests.consent.drafts import draft, publish
from tests.parties.receivers import call_back, dead, deliveries, receiving, until, until_later, waiting
from tests.support.byte_scan import Needles, rows
from tests.support.service_fixture import Party, Person, RunningService


def withdrawn(_house: RunningService, person: Person, _party: Party, consent: dict[str, Any]) -> None:
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}").raise_for_status()


def refused(service: RunningService, person: Person, party: Party, _consent: dict[str, Any]) -> None:
    service.consent(person, party, decision="refused")


def expired(service: RunningService, _person: Person, _party: Party, _consent: dict[str, Any]) -> None:
    service.clock.advance(days=400)
    run_maintenance(service.vault, settings=service.settings, now=service.clock())


def erased(_house: RunningService, person: Person, _party: Party, _consent: dict[str, Any]) -> None:
    assert person("DELETE", "/v1/me").json()["status"] == "completed"


ENDINGS: list[Callable[[RunningService, Person, Party, dict[str, Any]], None]] = [withdrawn, refused, expired, erased]


@pytest.mark.parametrize("end", ENDINGS, ids=lambda end: end.__name__)
def test_a_party_is_told_of_giving_and_of_every_ending_alike(
    telling: RunningService, end: Callable[[RunningService, Person, Party, dict[str, Any]], None]
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
    assert first["iss"] == signing_keys.log_origin(telling.vault.register.check_origin())


def test_a_consent_on_a_new_notice_is_an_ending_and_another_giving(telling: RunningService) -> None:
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


def test_a_message_is_signed_by_the_key_for_events_and_names_nobody(telling: RunningService) -> None:
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
    published = jwks.parse_jwks(telling.client.get("/.well-known/jwks.json").content)
    for request in receiver.requests:
        token = jws.read_token(request.partition(b"\r\n\r\n")[2].decode())
        key = published[token.header.kid]
        assert key.mien_signs == "events"
        assert jws.verify_token(token, typ=jws.EVENT_TYPE, key=key.key)


def test_nothing_is_written_or_sent_for_a_party_without_a_callback(telling: RunningService) -> None:
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


def test_an_act_that_does_not_commit_leaves_no_message(
    telling: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = dead(telling)
    person, _, consent = telling.enrolled(face=1, party=party)
    before = waiting(telling)

    def fail(*passed: str) -> None:
        if passed == ("withdrawal", "mien.db written"):
            raise OperationalError("", None, OSError("disk I/O error"))

    monkeypatch.setattr(crash_points, "watcher", fail)
    assert person("DELETE", f"/v1/me/consents/{consent['consent_id']}").status_code == 503
    assert waiting(telling) == before == [("given", consent["subject_ref"])]

    # Its keys are gone: the next sweep says how it ended, and tells of it.
    monkeypatch.undo()
    run_maintenance(telling.vault, settings=telling.settings, now=telling.clock())
    assert waiting(telling) == [("ended", consent["subject_ref"])]


def test_what_is_true_no_more_is_not_told(telling: RunningService) -> None:
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


def test_without_the_persons_key_a_party_is_still_told(telling: RunningService) -> None:
    """An ending does not depend on its own record: they have no line of it, and it is sent all the same."""
    party = dead(telling)
    person, _, consent = telling.enrolled(face=1, party=party)
    erased(telling, person, party, consent)

    assert waiting(telling) == [("ended", consent["subject_ref"])]
    assert rows(telling.vault.data.path, "SELECT subject_id FROM outbox") == [(None,)]
    assert rows(telling.vault.data.path, "SELECT * FROM deliveries") == []
