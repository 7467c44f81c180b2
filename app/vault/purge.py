"""Rows whose key is gone are dead; each room removes its own before the service is ready."""

from collections.abc import Iterable, Mapping
from typing import Protocol
from uuid import UUID

from app.vault.register import Owner, tombstone_digest
from app.vault.tables import EndedKind, OwnerKind
from app.vault.vault import Vault


class Purge(Protocol):
    """What a room does about its dead rows. Returns how many it removed."""

    def __call__(self, vault: Vault) -> int: ...  # noqa: D102 - said above


def without_key(vault: Vault, kind: OwnerKind, ids: Iterable[UUID]) -> list[UUID]:
    """Return those of *ids* that have no key left at all."""
    living = vault.register.generations()
    return [owner_id for owner_id in ids if Owner(kind, owner_id).digest not in living]


def with_tombstone(vault: Vault, kind: EndedKind, ids: Iterable[UUID]) -> list[UUID]:
    """Return those of *ids* that ended."""
    ended = vault.register.ended(kind)
    return [one for one in ids if tombstone_digest(kind, one) in ended]


def retire_superseded(vault: Vault, used: Mapping[Owner, set[int]]) -> None:
    """Destroy the keys that an interrupted replacement left: all but those *used*, the newest and what is newer."""
    living = vault.register.generations()
    for owner, sealing in used.items():
        generations = living.get(owner.digest, set())
        keep = sealing or {max(generations, default=0)}
        if any(generation < max(keep) and generation not in keep for generation in generations):
            vault.register.retire(owner, keep=keep)
