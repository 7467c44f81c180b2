"""What was proven stays proven: when others are erased, when a backup is restored, and when a register is lost.

Whoever is outside has checkpoints and receipts only, and holds them against each other by another implementation of
the tree, `scitt_cose`, and offline.
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from scitt_cose import merkle as theirs

from app import __version__
from app.backup.create import back_up
from app.backup.restore import restore
from app.kit.clock import utc_now
from app.transparency.verify.canonical_json import decode_base64url
from app.transparency.verify.checkpoint import Verifier, open_checkpoint
from app.transparency.verify.jwks import parse_jwks as read_keys
from app.transparency.verify.service import verify_receipt
from app.vault.vault import ForeignRegisterError
from tests.rights.whole_person import unzipped
from tests.support.byte_scan import rows
from tests.support.service_fixture import RunningService, SharedPool, prepare, serving, settings_for
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

PATIENCE_S = 120.0


def quiet(_doing: str) -> None:
    """Say nothing."""


@dataclass
class Outside:
    """Somebody with nothing but what they were given."""

    heads: dict[int, str] = field(default_factory=dict)
    """Roots of the checkpoints they saw, by size."""
    receipts: list[dict[str, Any]] = field(default_factory=list)

    def look(self, client: httpx.Client) -> int:
        """Take the checkpoint of now and hold every earlier one against it. Returns its size."""
        (log_key,) = [key for key in read_keys(keys_of(client)).values() if key.mien_origin is not None]
        now = open_checkpoint(client.get("/v1/log/checkpoint").text, Verifier(str(log_key.mien_origin), log_key.key))
        for size, root in self.heads.items():
            told = client.get("/v1/log/consistency", params={"from": size}).json()
            assert theirs.verify_consistency(root, now.root.hex(), size, now.size, told["hashes"]), (size, now.size)
        self.heads[now.size] = now.root.hex()
        return now.size

    def proven(self, client: httpx.Client) -> list[bool]:
        """Fetch the proof of each receipt; say of each whether it is good by the other tree, and offline."""
        return [self._proven(client, receipt) for receipt in self.receipts]

    def _proven(self, client: httpx.Client, receipt: dict[str, Any]) -> bool:
        answer = client.get("/v1/log/proof", params={"leaf": receipt["leaf"]})
        if answer.status_code != 200:
            return False
        proof = answer.json()
        entry = decode_base64url(receipt["salt"]) + decode_base64url(receipt["jws"].split(".")[1])
        folded = theirs.root_from_inclusion_proof(entry.hex(), proof["index"], proof["size"], proof["hashes"])
        bundle = json.dumps({**receipt, "proof": proof}).encode()
        return folded == self.heads[proof["size"]] and verify_receipt(bundle, jwks=keys_of(client)).logged == "proven"


def keys_of(client: httpx.Client) -> bytes:
    """Return the published keys."""
    return client.get("/.well-known/jwks.json").content


def next_batch(service: RunningService) -> None:
    """Let the clock come to the next turn, and wait until the log has grown."""
    before = service.client.get("/v1/log/checkpoint").text
    service.clock.advance(seconds=service.settings.log_interval)
    until = time.monotonic() + PATIENCE_S
    while service.client.get("/v1/log/checkpoint").text == before:
        assert time.monotonic() < until, "no batch came"
        time.sleep(0.02)


@contextmanager
def served(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """Serve, with batches that the test calls for."""
    with serving(root, pool, toy_card(), log_interval=3600.0) as service:
        yield service


def test_after_erasures_every_other_proof_holds(root: Path, pool: SharedPool) -> None:
    outside = Outside()
    with served(root, pool) as service:
        party = service.party()
        people = []
        for face in range(1, 7):
            person, _, consent = service.enrolled(face, party=party)
            people.append(person)
            assert party.verify(consent["subject_ref"], toy_photo(face)).status_code == 200
            outside.receipts.append(consent["receipt"])
            if face % 2:
                next_batch(service)
                outside.look(service.client)
        next_batch(service)
        outside.look(service.client)
        before = outside.proven(service.client)
        for person in people[::2]:
            outside.receipts.append(person("DELETE", "/v1/me").json()["receipt"])
        next_batch(service)
        outside.look(service.client)
        after = outside.proven(service.client)

    assert before == [True] * 6
    # Those of the erased too: the receipt is theirs, and the leaf stays.
    assert after == [True] * 9
    assert len(outside.heads) == 5


def test_receipts_of_an_export_hold_when_the_service_is_gone(root: Path, pool: SharedPool) -> None:
    with served(root, pool) as service:
        person, _, _ = service.enrolled(1)
        person("PATCH", "/v1/me", json={"display_name": "Ada L."})
        next_batch(service)
        keys = keys_of(service.client)
        person("PUT", "/v1/me/restriction")
        files = unzipped(person("GET", "/v1/me/export").content)
    found = [verify_receipt(content, jwks=keys) for name, content in files.items() if name.startswith("receipts/")]

    assert {one.kind: one.logged for one in found} == {
        "consent_given": "proven",
        "rectification": "proven",
        # Given since the last batch.
        "restriction": "promised",
    }


def test_flood_of_refusals_adds_one_entry_to_each_batch(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), log_interval=3600, failed_references=100) as service:
        door, gate = service.party(), service.party("Gate")
        next_batch(service)
        statuses = {party.verify(f"nobody {n}", b"").status_code for n in range(40) for party in (door, gate)}
        waiting = rows(service.vault.data.path, "SELECT record FROM pending_leaves")

    assert statuses == {404}
    assert sorted(json.loads(record)["relying_party_id"] for (record,) in waiting) == sorted([door.id, gate.id])


def test_restore_keeps_the_log_and_adds_that_it_was(root: Path, pool: SharedPool) -> None:
    outside, backup = Outside(), root.with_name("backup")
    with served(root, pool) as service:
        _, party, consent = service.enrolled(1)
        outside.receipts.append(consent["receipt"])
        next_batch(service)
        outside.look(service.client)
        back_up(service.settings, to=backup, version=__version__, now=service.clock(), progress=quiet)
        _, _, later = service.enrolled(2, party=party)
        outside.receipts.append(later["receipt"])
        next_batch(service)
        outside.look(service.client)
        # Given since, and only promised: it is nowhere else than in the data that is replaced.
        _, _, last = service.enrolled(3, party=party)
        outside.receipts.append(last["receipt"])
    restore(settings_for(root), backup=backup, now=utc_now, progress=quiet)
    with served(root, pool) as service:
        next_batch(service)
        outside.look(service.client)
        proven = outside.proven(service.client)
        records = rows(service.vault.register.store.path, "SELECT record FROM log_open_entries WHERE joined")

    assert proven == [True, True, True]
    assert sum(json.loads(record)["act"] == "restored" for (record,) in records) == 1


def test_erasure_done_since_the_backup_can_still_be_looked_up(root: Path, pool: SharedPool) -> None:
    backup = root.with_name("backup")
    with served(root, pool) as service:
        person, _, _ = service.enrolled(1)
        back_up(service.settings, to=backup, version=__version__, now=service.clock(), progress=quiet)
        erased = person("DELETE", "/v1/me").json()
    restore(settings_for(root), backup=backup, now=utc_now, progress=quiet)
    with served(root, pool) as service:
        found = service.client.get(f"/v1/erasures/{erased['erasure_id']}").json()

    assert (erased["status"], found["status"]) == ("completed", "completed")
    assert found["receipt"]["jws"] == erased["receipt"]["jws"]


def test_backup_that_saw_more_than_the_register_is_refused(root: Path, pool: SharedPool) -> None:
    """The register was put back in time: its log does not have what the backup's data saw of it."""
    backup = root.with_name("backup")
    with served(root, pool) as service:
        service.enrolled(1)
        next_batch(service)
    shutil.copytree(root / "keys", root.with_name("older"))
    with served(root, pool) as service:
        service.clock.advance(hours=3)
        next_batch(service)
        back_up(service.settings, to=backup, version=__version__, now=service.clock(), progress=quiet)
    shutil.rmtree(root / "keys")
    shutil.move(root.with_name("older"), root / "keys")
    data = (root / "data" / "mien.db").read_bytes()

    with pytest.raises(ForeignRegisterError, match="older copy"):
        restore(settings_for(root), backup=backup, now=utc_now, progress=quiet)
    assert (root / "data" / "mien.db").read_bytes() == data


def test_register_that_went_back_in_time_is_not_served(root: Path, pool: SharedPool) -> None:
    with served(root, pool) as service:
        next_batch(service)
    shutil.copytree(root / "keys", root.with_name("older"))
    with served(root, pool) as service:
        service.clock.advance(hours=3)
        next_batch(service)
    shutil.rmtree(root / "keys")
    shutil.move(root.with_name("older"), root / "keys")

    with pytest.raises(ForeignRegisterError, match="older copy"), served(root, pool):
        pass


def test_lost_register_is_a_new_log_and_says_so(root: Path, pool: SharedPool) -> None:
    with served(root, pool) as service:
        _, _, consent = service.enrolled(1)
        next_batch(service)
        old = service.client.get("/v1/log/checkpoint").text.splitlines()[0]
    shutil.rmtree(root / "keys")
    shutil.rmtree(root / "data")
    prepare(root)
    with served(root, pool) as service:
        new = service.client.get("/v1/log/checkpoint").text.splitlines()[0]
        verdict = service.client.post("/v1/receipts/verify", json={"receipt": consent["receipt"]}).json()
        ((record,),) = [
            one
            for one in rows(service.vault.register.store.path, "SELECT record FROM log_open_entries")
            if json.loads(one[0])["act"] == "log_begun"
        ]

    assert old != new
    assert json.loads(record)["origin"] == new
    assert verdict["valid"] is False
    assert old in verdict["reason"]
    assert new in verdict["reason"]
