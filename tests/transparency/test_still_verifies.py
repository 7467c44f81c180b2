"""Proofs stay valid when other people are erased, when a backup is restored, and when a register is lost.

An outsiderr has only checkpoints and receipts, and verifies them with another implementation of the tree,
`scitt_cose`, and offline.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from scitt_cose import merkle as other_implementation

from app.backup.create import back_up
from app.backup.restore import restore
from app.kit.clock import utc_now
from app.kit.version import __version__
from app.transparency.log.batch import append_batch
from app.transparency.verify.canonical_json import decode_base64url
from app.transparency.verify.checkpoint import Verifier, open_checkpoint
from app.transparency.verify.jwks import parse_jwks
from app.transparency.verify.service import verify_receipt
from app.vault.vault import ForeignRegisterError
from tests.rights.complete_person import unzipped
from tests.support.byte_scan import rows
from tests.support.service_fixture import RunningService, SharedPool, prepare, serving, settings_for
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo


def quiet(_doing: str) -> None:
    """Print no progress."""


@dataclass
class Outsider:
    """An observer without access to the stores."""

    heads: dict[int, str] = field(default_factory=dict)
    """Roots of the checkpoints so far, by size."""
    receipts: list[dict[str, Any]] = field(default_factory=list)

    def check_consistency(self, client: httpx.Client) -> int:
        """Fetch the checkpoint and check that it continues every earlier one; return its size."""
        (log_key,) = [key for key in parse_jwks(keys_of(client)).values() if key.mien_origin is not None]
        now = open_checkpoint(client.get("/v1/log/checkpoint").text, Verifier(str(log_key.mien_origin), log_key.key))
        for size, root in self.heads.items():
            proof = client.get("/v1/log/consistency", params={"from": size}).json()
            assert other_implementation.verify_consistency(root, now.root.hex(), size, now.size, proof["hashes"]), (
                size,
                now.size,
            )
        self.heads[now.size] = now.root.hex()
        return now.size

    def check_receipts(self, client: httpx.Client) -> list[bool]:
        """Return for each receipt whether its proof is valid by the other implementation, and offline."""
        return [self._check_receipt(client, receipt) for receipt in self.receipts]

    def _check_receipt(self, client: httpx.Client, receipt: dict[str, Any]) -> bool:
        answer = client.get("/v1/log/proof", params={"leaf": receipt["leaf"]})
        if answer.status_code != 200:
            return False
        proof = answer.json()
        entry = decode_base64url(receipt["salt"]) + decode_base64url(receipt["jws"].split(".")[1])
        root = other_implementation.root_from_inclusion_proof(
            entry.hex(), proof["index"], proof["size"], proof["hashes"]
        )
        bundle = json.dumps({**receipt, "proof": proof}).encode()
        return root == self.heads[proof["size"]] and verify_receipt(bundle, jwks=keys_of(client)).logged == "proven"


def keys_of(client: httpx.Client) -> bytes:
    return client.get("/.well-known/jwks.json").content


def next_batch(service: RunningService) -> None:
    """Append the batch of the next interval, unless the service does it first."""
    before = service.client.get("/v1/log/checkpoint").text
    service.clock.advance(seconds=service.settings.log_interval)
    append_batch(service.vault, settings=service.settings, now=service.clock())
    assert service.client.get("/v1/log/checkpoint").text != before


@contextmanager
def served(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    with serving(root, pool, toy_card(), log_interval=3600.0) as service:
        yield service


def test_after_erasures_all_proofs_are_valid(root: Path, pool: SharedPool) -> None:
    outsider = Outsider()
    with served(root, pool) as service:
        party = service.party()
        people = []
        for face in range(1, 5):
            person, _, consent = service.enrolled(face, party=party)
            people.append(person)
            assert party.verify(consent["subject_ref"], toy_photo(face)).status_code == 200
            outsider.receipts.append(consent["receipt"])
            if face % 2:
                next_batch(service)
                outsider.check_consistency(service.client)
        next_batch(service)
        outsider.check_consistency(service.client)
        before = outsider.check_receipts(service.client)
        for person in people[::2]:
            outsider.receipts.append(person("DELETE", "/v1/me").json()["receipt"])
        next_batch(service)
        outsider.check_consistency(service.client)
        after = outsider.check_receipts(service.client)

    assert before == [True] * 4
    # Also those of erased people: the leaf stays.
    assert after == [True] * 6
    assert len(outsider.heads) == 4


def test_receipts_of_an_export_are_valid_without_the_service(root: Path, pool: SharedPool) -> None:
    with served(root, pool) as service:
        person, _, _ = service.enrolled(1)
        person("PATCH", "/v1/me", json={"display_name": "Ada L."})
        next_batch(service)
        keys = keys_of(service.client)
        person("PUT", "/v1/me/restriction")
        files = unzipped(person("GET", "/v1/me/export").content)
    found = [verify_receipt(content, jwks=keys) for name, content in files.items() if name.startswith("receipts/")]

    assert {verdict.kind: verdict.logged for verdict in found} == {
        "consent_given": "proven",
        "rectification": "proven",
        # Issued after the last batch.
        "restriction": "promised",
    }


def test_many_refusals_add_one_entry_for_each_party_and_batch(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), log_interval=3600, failed_references=100) as service:
        door, gate = service.party(), service.party("Gate")
        next_batch(service)
        statuses = {party.verify(f"unknown {n}", b"").status_code for n in range(10) for party in (door, gate)}
        waiting = rows(in_file(service.vault.data).path, "SELECT record FROM pending_leaves")

    assert statuses == {404}
    assert sorted(json.loads(record)["relying_party_id"] for (record,) in waiting) == sorted([door.id, gate.id])


def test_a_restore_keeps_the_log_and_adds_an_entry(root: Path, pool: SharedPool) -> None:
    outsider, backup = Outsider(), root.with_name("backup")
    with served(root, pool) as service:
        _, party, consent = service.enrolled(1)
        outsider.receipts.append(consent["receipt"])
        next_batch(service)
        outsider.check_consistency(service.client)
        back_up(service.settings, to=backup, version=__version__, now=service.clock(), progress=quiet)
        _, _, later = service.enrolled(2, party=party)
        outsider.receipts.append(later["receipt"])
        next_batch(service)
        outsider.check_consistency(service.client)
        # Still pending: its leaf is only in the data store that is replaced.
        _, _, last = service.enrolled(3, party=party)
        outsider.receipts.append(last["receipt"])
    restore(settings_for(root), backup=backup, now=utc_now, progress=quiet)
    with served(root, pool) as service:
        next_batch(service)
        outsider.check_consistency(service.client)
        proven = outsider.check_receipts(service.client)
        records = rows(in_file(service.vault.register.store).path, "SELECT record FROM log_open_entries WHERE joined")

    assert proven == [True, True, True]
    assert sum(json.loads(record)["act"] == "restored" for (record,) in records) == 1


def test_an_erasure_after_the_backup_is_found_after_the_restore(root: Path, pool: SharedPool) -> None:
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


def test_a_backup_that_has_seen_more_than_the_register_is_refused(root: Path, pool: SharedPool) -> None:
    """The register is an older copy: its log lacks entries that the data of the backup has seen."""
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


def test_an_older_copy_of_the_register_is_not_served(root: Path, pool: SharedPool) -> None:
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


def test_a_new_register_has_a_new_log_and_says_so(root: Path, pool: SharedPool) -> None:
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
            for one in rows(in_file(service.vault.register.store).path, "SELECT record FROM log_open_entries")
            if json.loads(one[0])["act"] == "log_begun"
        ]

    assert old != new
    assert json.loads(record)["origin"] == new
    assert verdict["valid"] is False
    assert old in verdict["reason"]
    assert new in verdict["reason"]
