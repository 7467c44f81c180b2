"""The pending leaves in the stores, and the act that each one records."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.transparency.log import entries
from app.transparency.tables import EntryRow, ReceiptRow
from app.transparency.verify.bundle import Bundle
from app.transparency.verify.canonical_json import decode_base64url, encode_json
from app.vault.register import Owner
from app.vault.sealing_context import sealing_context
from app.vault.vault import Vault
from tests.support.byte_scan import rows
from tests.support.service_fixture import Party, Person, RunningService
from tests.support.sqlite_stores import in_file


@dataclass
class EnrolledCase:
    """A running service with one person enrolled for a relying party."""

    service: RunningService
    person: Person
    party: Party
    consent: dict[str, Any]

    @property
    def address(self) -> str:
        """The path of the consent."""
        return f"/v1/me/consents/{self.consent['consent_id']}"


def pending_acts(vault: Vault) -> dict[bytes, str]:
    """Return every pending leaf with the act that its record names; sealed records are opened."""
    open_ = rows(in_file(vault.data).path, "SELECT leaf, salt, record FROM pending_leaves WHERE record IS NOT NULL")
    open_ += rows(
        in_file(vault.register.store).path, "SELECT leaf, salt, record FROM log_open_entries WHERE NOT joined"
    )
    named = {leaf: (salt, record.encode()) for leaf, salt, record in open_}
    named |= _sealed(vault)
    waiting = {leaf for (leaf,) in rows(in_file(vault.data).path, "SELECT leaf FROM pending_leaves")} | {
        one[0] for one in open_
    }
    for leaf in waiting & set(named):
        salt, record = named[leaf]
        assert len(salt) == entries.SALT_BYTES
        assert entries.compute_leaf(salt, record) == leaf
    records = {leaf: json.loads(named[leaf][1]) if leaf in named else {} for leaf in waiting}
    return {leaf: record.get("act") or record.get("kind") or "record is gone" for leaf, record in records.items()}


def open_all_entries(vault: Vault) -> dict[UUID, tuple[bytes, bytes, bytes]]:
    """Open the entries of all subjects: leaf, record and salt, by id."""
    found = {}
    for row_id, subject_id, sealed in rows(in_file(vault.data).path, "SELECT id, subject_id, sealed FROM entries"):
        held = json.loads(_key(vault, subject_id).open(sealed, sealing_context(EntryRow.sealed, UUID(row_id))))
        record, salt = encode_json(held["record"]), decode_base64url(held["salt"])
        found[UUID(row_id)] = entries.compute_leaf(salt, record), record, salt
    return found


def _sealed(vault: Vault) -> dict[bytes, tuple[bytes, bytes]]:
    """Open the entries and receipts of all subjects."""
    found = {leaf: (salt, record) for leaf, record, salt in open_all_entries(vault).values()}
    receipts = [
        _key(vault, subject_id).open(sealed, sealing_context(ReceiptRow.sealed, UUID(row_id)))
        for row_id, subject_id, sealed in rows(in_file(vault.data).path, "SELECT id, subject_id, sealed FROM receipts")
    ]
    receipts += [one.encode() for (one,) in rows(in_file(vault.data).path, "SELECT receipt FROM erasures") if one]
    for receipt in receipts:
        bundle = Bundle.model_validate_json(receipt)
        record = decode_base64url(bundle.jws.split(".")[1])
        found[bytes.fromhex(bundle.leaf)] = decode_base64url(bundle.salt), record
    return found


def _key(vault: Vault, subject_id: str) -> Any:
    return vault.register.key(Owner.subject(UUID(subject_id)))
