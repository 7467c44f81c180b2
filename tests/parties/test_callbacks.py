"""The operator sets callbacks by a command, never over HTTP. A restore does not bring an ended callback back."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.callbacks.registration import set_callback
from app.parties import service as parties
from app.parties.service import PartyError
from tests.parties.receivers import set_url
from tests.support.byte_scan import rows
from tests.support.launcher import refused, run_command
from tests.support.service_fixture import Party, RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.vault.operator import make_backup, restore

URL = "https://door.example.org/events?token=canary"


@pytest.fixture
def door(root: Path, pool: SharedPool) -> Party:
    with serving(root, pool, toy_card()) as service:
        return service.party()


def read_callbacks(root: Path) -> list[Any]:
    return [one for (one,) in rows(root / "data" / "mien.db", "SELECT callback FROM relying_parties")]


def read_log_entries(root: Path) -> list[dict[str, Any]]:
    """Return the open entries of the transparency log about callbacks."""
    waiting = rows(root / "data" / "mien.db", "SELECT record FROM pending_leaves WHERE record IS NOT NULL")
    joined = rows(root / "keys" / "register.db", "SELECT record FROM log_open_entries")
    records = [json.loads(one) for (one,) in waiting + joined]
    return [one for one in records if one["act"] == "relying_party_callback"]


def test_the_command_sets_and_removes_a_callback(root: Path, door: Party) -> None:
    done = run_command(root, "relying-party", "callback", door.id, URL, "--json")
    after_set = read_callbacks(root)
    off = run_command(root, "relying-party", "callback", door.id, "--off", "--json")

    assert json.loads(done.stdout) == {"relying_party_id": door.id, "callback": URL}
    assert after_set == [URL]
    assert json.loads(off.stdout)["callback"] == "off"
    assert read_callbacks(root) == [None]
    assert sorted(str(one["callback"]) for one in read_log_entries(root)) == ["None", "https://door.example.org"]
    assert "canary" not in json.dumps(read_log_entries(root)), "the transparency log is public"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["http://door.example.org/"], "MIEN_CALLBACK_PRIVATE"),
        (["https://127.0.0.1/"], "MIEN_CALLBACK_PRIVATE"),
        (["https://user@door.example.org/"], "https://host/path"),
    ],
)
def test_the_command_refuses_a_url_that_is_not_allowed(root: Path, door: Party, words: list[str], why: str) -> None:
    assert refused(run_command(root, "relying-party", "callback", door.id, *words), why)
    assert read_callbacks(root) == [None]


def test_the_command_takes_either_a_url_or_off(root: Path, door: Party) -> None:
    assert run_command(root, "relying-party", "callback", door.id).returncode == 2
    assert run_command(root, "relying-party", "callback", door.id, URL, "--off").returncode == 2


def test_an_unknown_party_is_refused(service: RunningService) -> None:
    with pytest.raises(PartyError, match="no relying party"):
        set_callback(service.vault, party_id=UUID(int=1), to=URL, private=False, now=service.clock())


def test_a_revoked_party_can_have_a_callback(callback_service: RunningService) -> None:
    party = callback_service.party()
    parties.revoke(callback_service.vault, party_id=UUID(party.id), now=callback_service.clock())
    set_url(callback_service, party, URL)

    assert read_callbacks(callback_service.root) == [URL]


def test_no_response_contains_a_callback(callback_service: RunningService) -> None:
    party = callback_service.party()
    set_url(callback_service, party, URL)
    person = callback_service.person()
    answers = [
        callback_service.client.get("/v1/relying-parties"),
        party("GET", "/v1/relying-party"),
        person("GET", "/v1/me/access"),
        callback_service.client.get("/openapi.json"),
    ]

    assert all(answer.status_code == 200 for answer in answers)
    assert not any(b"canary" in answer.content for answer in answers)


@pytest.mark.parametrize("then", [None, "https://new.example.org/"])
def test_a_restore_does_not_bring_an_ended_callback_back(
    root: Path, pool: SharedPool, door: Party, then: str | None
) -> None:
    with serving(root, pool, toy_card()) as service:
        set_url(service, door, URL)
    make_backup(root, root.with_name("backup"))
    with serving(root, pool, toy_card()) as service:
        set_url(service, door, then)
    restore(root, root.with_name("backup"))

    assert read_callbacks(root) == [None]


def test_a_restore_brings_a_current_callback_back(root: Path, pool: SharedPool, door: Party) -> None:
    with serving(root, pool, toy_card()) as service:
        set_url(service, door, URL)
    make_backup(root, root.with_name("backup"))
    restore(root, root.with_name("backup"))

    assert read_callbacks(root) == [URL]


def test_an_end_after_the_backup_is_announced_after_the_restore(root: Path, pool: SharedPool, door: Party) -> None:
    """The restored data do not record whether the message was delivered, so it is queued again."""
    with serving(root, pool, toy_card()) as service:
        set_url(service, door, "https://127.0.0.1/")
        person, _, consent = service.enrolled(face=1, party=door)
    make_backup(root, root.with_name("backup"))
    with serving(root, pool, toy_card()) as service:
        person.client = service.client
        person("DELETE", "/v1/me").raise_for_status()
        # As if the message had been delivered.
        with service.vault.data.write() as session:
            session.connection().exec_driver_sql("DELETE FROM outbox")
    restore(root, root.with_name("backup"))

    queued = rows(root / "data" / "mien.db", "SELECT event, subject_ref, subject_id FROM outbox")
    assert queued == [("ended", consent["subject_ref"], None)]
