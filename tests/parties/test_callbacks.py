"""A callback is set by the operator's command, never over HTTP; one that ended does not come back with a backup."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.callbacks.registration import set_callback
from app.parties import service as parties
from app.parties.service import PartyError
from tests.parties.receivers import call_back
from tests.support.byte_scan import rows
from tests.support.launcher import refused, run_command
from tests.support.service_fixture import Party, RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.vault.operator import make_backup, restore

URL = "https://door.example.org/told?token=canary"


@pytest.fixture
def door(root: Path, pool: SharedPool) -> Party:
    with serving(root, pool, toy_card()) as service:
        return service.party()


def stored(root: Path) -> list[Any]:
    return [one for (one,) in rows(root / "data" / "mien.db", "SELECT callback FROM relying_parties")]


def opened(root: Path) -> list[dict[str, Any]]:
    """Return what the log has openly of callbacks, without what is random."""
    waiting = rows(root / "data" / "mien.db", "SELECT record FROM pending_leaves WHERE record IS NOT NULL")
    joined = rows(root / "keys" / "register.db", "SELECT record FROM log_open_entries")
    records = [json.loads(one) for (one,) in waiting + joined]
    return [one for one in records if one["act"] == "relying_party_callback"]


def test_command_sets_it_and_takes_it_away(root: Path, door: Party) -> None:
    done = run_command(root, "relying-party", "callback", door.id, URL, "--json")
    there = stored(root)
    off = run_command(root, "relying-party", "callback", door.id, "--off", "--json")

    assert json.loads(done.stdout) == {"relying_party_id": door.id, "callback": URL}
    assert there == [URL]
    assert json.loads(off.stdout)["callback"] == "off"
    assert stored(root) == [None]
    assert sorted(str(one["callback"]) for one in opened(root)) == ["None", "https://door.example.org"]
    assert "canary" not in json.dumps(opened(root)), "the log is for everybody"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["http://door.example.org/"], "MIEN_CALLBACK_PRIVATE"),
        (["https://127.0.0.1/"], "MIEN_CALLBACK_PRIVATE"),
        (["https://user@door.example.org/"], "https://host/path"),
    ],
)
def test_command_refuses_what_can_be_none(root: Path, door: Party, words: list[str], why: str) -> None:
    assert refused(run_command(root, "relying-party", "callback", door.id, *words), why)
    assert stored(root) == [None]


def test_command_takes_either_an_address_or_off(root: Path, door: Party) -> None:
    assert run_command(root, "relying-party", "callback", door.id).returncode == 2
    assert run_command(root, "relying-party", "callback", door.id, URL, "--off").returncode == 2


def test_unknown_party_has_none(service: RunningService) -> None:
    with pytest.raises(PartyError, match="no relying party"):
        set_callback(service.vault, party_id=UUID(int=1), to=URL, private=False, now=service.clock())


def test_a_revoked_party_may_still_be_told_of_endings(telling: RunningService) -> None:
    party = telling.party()
    parties.revoke(telling.vault, party_id=UUID(party.id), now=telling.clock())
    call_back(telling, party, URL)

    assert stored(telling.root) == [URL]


def test_it_is_shown_to_nobody_over_http(telling: RunningService) -> None:
    party = telling.party()
    call_back(telling, party, URL)
    person = telling.person()
    answers = [
        telling.client.get("/v1/relying-parties"),
        party("GET", "/v1/relying-party"),
        person("GET", "/v1/me/access"),
        telling.client.get("/openapi.json"),
    ]

    assert all(answer.status_code == 200 for answer in answers)
    assert not any(b"canary" in answer.content for answer in answers)


@pytest.mark.parametrize("then", [None, "https://new.example.org/"])
def test_a_callback_that_ended_does_not_come_back_with_a_backup(
    root: Path, pool: SharedPool, door: Party, then: str | None
) -> None:
    with serving(root, pool, toy_card()) as service:
        call_back(service, door, URL)
    make_backup(root, root.with_name("backup"))
    with serving(root, pool, toy_card()) as service:
        call_back(service, door, then)
    restore(root, root.with_name("backup"))

    assert stored(root) == [None]


def test_a_callback_that_stands_comes_back(root: Path, pool: SharedPool, door: Party) -> None:
    with serving(root, pool, toy_card()) as service:
        call_back(service, door, URL)
    make_backup(root, root.with_name("backup"))
    restore(root, root.with_name("backup"))

    assert stored(root) == [URL]


def test_what_ended_since_a_backup_is_told_after_its_restore(root: Path, pool: SharedPool, door: Party) -> None:
    """Whether it was told before or not: the data that knew is gone."""
    with serving(root, pool, toy_card()) as service:
        call_back(service, door, "https://127.0.0.1/")
        person, _, consent = service.enrolled(face=1, party=door)
    make_backup(root, root.with_name("backup"))
    with serving(root, pool, toy_card()) as service:
        person.client = service.client
        person("DELETE", "/v1/me").raise_for_status()
        # Told, say.
        with service.vault.data.write() as session:
            session.connection().exec_driver_sql("DELETE FROM outbox")
    restore(root, root.with_name("backup"))

    told = rows(root / "data" / "mien.db", "SELECT event, subject_ref, subject_id FROM outbox")
    assert told == [("ended", consent["subject_ref"], None)]
