"""The description of a relying party, and the replacement of its key with an overlap."""

import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.jobs.maintenance import purge_dead_rows, run_maintenance
from app.parties import keys
from app.parties import service as parties
from app.parties.service import PartyChanges, PartyError
from app.vault.tables import EndedKind
from tests.consent.spies import everything
from tests.support.byte_scan import rows
from tests.support.launcher import run_command
from tests.support.register_queries import tombstones
from tests.support.service_fixture import Party, RunningService, SharedPool, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.transparency.pending_leaves import pending_acts
from tests.vault.operator import make_backup, restore

OPEN_RECORDS = "SELECT record FROM pending_leaves WHERE record IS NOT NULL"
TEXTS = {"context": "the entrance", "legal_basis": "explicit consent"}


def rotate_key(service: RunningService, party: Party, *, hours: float = 0) -> Party:
    """Give *party* a new key; returns the party with it."""
    overlap = timedelta(hours=hours)
    _, key = parties.rotate_key(
        service.vault, party_id=UUID(party.id), overlap=overlap, settings=service.settings, now=service.clock()
    )
    return Party(service.client, party.id, key)


def works(party: Party) -> bool:
    """Return whether the key is accepted."""
    status = party("GET", "/v1/relying-party").status_code
    assert status in {200, 401}
    return status == 200


def test_a_description_is_public_and_in_the_access_document(service: RunningService) -> None:
    person, party, _ = service.enrolled()

    changes = PartyChanges(**TEXTS, contact="desk@example.org")
    parties.update_party(service.vault, party_id=UUID(party.id), changes=changes, now=service.clock())

    (seen,) = service.client.get("/v1/relying-parties").json()["items"]
    (recipient,) = person("GET", "/v1/me/access").json()["recipients"]
    for shown in (seen, recipient):
        assert {name: shown[name] for name in TEXTS} == TEXTS
        assert (shown["contact"], shown["alternative"]) == ("desk@example.org", "a key card")


def test_a_changed_description_has_an_open_entry(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        party = service.party()
        parties.update_party(service.vault, party_id=UUID(party.id), changes=PartyChanges(**TEXTS), now=service.clock())
        records = [json.loads(record) for (record,) in rows(in_file(service.vault.data).path, OPEN_RECORDS)]

    (described,) = [one for one in records if one["act"] == "relying_party_described"]
    assert (described["relying_party_id"], described["changed"]) == (party.id, "context legal_basis")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (PartyChanges(), "give a change"),
        (PartyChanges(context=" "), "the context is blank"),
        (PartyChanges(legal_basis="a\nb"), "the legal basis cannot be shown"),
    ],
)
def test_a_description_that_is_refused_changes_nothing(
    service: RunningService, changes: PartyChanges, reason: str
) -> None:
    party = service.party()
    before = everything(service.vault)

    with pytest.raises(PartyError, match=reason):
        parties.update_party(service.vault, party_id=UUID(party.id), changes=changes, now=service.clock())

    assert everything(service.vault) == before


def test_an_unknown_or_revoked_party_cannot_be_described(service: RunningService) -> None:
    party = service.party()
    parties.revoke(service.vault, party_id=UUID(party.id), now=service.clock())

    for party_id in (UUID(party.id), uuid4()):
        with pytest.raises(PartyError, match="revoked"):
            parties.update_party(service.vault, party_id=party_id, changes=PartyChanges(**TEXTS), now=service.clock())


def test_both_keys_work_during_the_overlap(service: RunningService) -> None:
    _, old, consent = service.enrolled()

    new = rotate_key(service, old, hours=10)

    service.clock.advance(hours=9)
    assert [one.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] for one in (old, new)] == ["match"] * 2
    service.clock.advance(hours=2)
    assert (works(old), works(new)) == (False, True), "before any maintenance run"
    done = run_maintenance(service.vault, settings=service.settings, now=service.clock())
    assert done.keys_ended <= 1, "the service's own maintenance run may be first"
    assert len(tombstones(service.vault.register, EndedKind.RELYING_PARTY_KEY)) == 1
    service.clock.advance(hours=-5)
    assert not works(old), "a clock that is set back revives no key"


def test_the_end_of_an_overlap_has_one_entry(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        rotate_key(service, service.party(), hours=1)
        service.clock.advance(hours=2)
        for _ in range(3):
            run_maintenance(service.vault, settings=service.settings, now=service.clock())
        acts = list(pending_acts(service.vault).values())

    assert acts.count("relying_party_key_ended") == 1


def test_a_decision_in_progress_when_the_overlap_ends_is_not_answered(service: RunningService) -> None:
    _, old, consent = service.enrolled()
    rotate_key(service, old, hours=1)
    service.pool.after = lambda: service.clock.advance(hours=2)

    answer = old.verify(consent["subject_ref"], toy_photo(1))

    assert answer.status_code == 404


def test_at_most_two_keys_work(service: RunningService) -> None:
    first = service.party()
    second = rotate_key(service, first, hours=10)
    third = rotate_key(service, second, hours=10)

    assert [works(one) for one in (first, second, third)] == [False, True, True]
    assert [works(one) for one in (second, third, rotate_key(service, third))] == [False, False, True]


def test_an_overlap_is_not_longer_than_the_setting(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), key_overlap_hours=2) as service:
        party = service.party()
        with pytest.raises(PartyError, match="at most 2 hours"):
            rotate_key(service, party, hours=3)

        assert works(party)
        assert works(rotate_key(service, party, hours=2))


def test_revoking_ends_both_keys(service: RunningService) -> None:
    old = service.party()
    new = rotate_key(service, old, hours=10)

    parties.revoke(service.vault, party_id=UUID(old.id), now=service.clock())

    assert [works(one) for one in (old, new)] == [False, False]


def test_a_start_during_the_overlap_ends_no_key(service: RunningService) -> None:
    old = service.party()
    new = rotate_key(service, old, hours=10)

    purge_dead_rows(service.vault, settings=service.settings, now=service.clock())

    assert [works(one) for one in (old, new)] == [True, True]


@pytest.mark.parametrize("when", ["before the rotation", "during the overlap"])
def test_a_restored_backup_does_not_bring_a_replaced_key_back(root: Path, pool: SharedPool, when: str) -> None:
    with serving(root, pool, toy_card()) as service:
        old = service.party()
    if when == "before the rotation":
        make_backup(root, root.with_name("backup"))
    with serving(root, pool, toy_card()) as service:
        rotate_key(service, old, hours=10)
    if when == "during the overlap":
        make_backup(root, root.with_name("backup"))
        with serving(root, pool, toy_card()) as service:
            # Without an overlap, as after a theft: the old key ends at once.
            rotate_key(service, old)
    restore(root, root.with_name("backup"))

    with serving(root, pool, toy_card()) as service:
        old.client = service.client
        assert not works(old)
        assert works(rotate_key(service, old)), "the operator can issue a new key"


@pytest.mark.slow
def test_the_commands(root: Path) -> None:
    added = json.loads(
        run_command(
            root,
            *("relying-party", "add", "Door", "--contact", "c", "--purpose", "verification", "--alternative", "a card"),
            *("--context", "the entrance", "--legal-basis", "explicit consent", "--json"),
        ).stdout
    )
    described = json.loads(
        run_command(
            root, "relying-party", "describe", added["relying_party_id"], "--alternative", "ring the bell", "--json"
        ).stdout
    )
    nothing = run_command(root, "relying-party", "describe", added["relying_party_id"])
    rotated = run_command(root, "relying-party", "rotate-key", added["relying_party_id"], "--overlap", "5", "--json")
    too_long = run_command(root, "relying-party", "rotate-key", added["relying_party_id"], "--overlap", "73")
    (listed,) = json.loads(run_command(root, "relying-party", "list", "--json").stdout)["relying_parties"]
    shown = run_command(root, "relying-party", "list").stdout

    assert set(added) == {"relying_party_id", "name", "api_key", "purposes"}
    assert (described["context"], described["alternative"]) == ("the entrance", "ring the bell")
    assert nothing.returncode == 1
    assert "give a change" in nothing.stderr
    assert json.loads(rotated.stdout)["api_key"] != added["api_key"]
    assert too_long.returncode == 1
    assert "at most 72 hours" in too_long.stderr
    assert [key["ends_at"] is None for key in sorted(listed["keys"], key=lambda key: key["ends_at"] is None)] == [
        False,
        True,
    ]
    assert listed["legal_basis"] == "explicit consent"
    assert "the entrance" in shown
    assert keys.KEY_PREFIX not in shown
