"""Rows whose key is gone are dead; each room removes its own before the service is ready.

Rows are looked at a page at a time, in no transaction, and removed in one short one: neither memory nor a lock grows
with the number of people. What has ended has ended for good, and row ids are random, so what was seen to be dead still
is when it is removed, or is gone already.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, Row, select
from sqlalchemy.orm import InstrumentedAttribute

from app.vault.register import DESTROYED, Owner, tombstone_digest
from app.vault.tables import EndedKind, KeySlot, OwnerKind, Tombstone
from app.vault.vault import ForeignRegisterError, Vault

PAGE = 10_000
"""Rows looked at together, and removed in one transaction: dead rows lie anywhere, so that each costs pages of its own,
and the fewer commits the fewer times these are written. SQLite takes 32,766 parameters (since 3.32), and some MiB
hold them."""
Column = InstrumentedAttribute[Any]


class Purge(Protocol):
    """What a room does about its dead rows. Returns how many it removed."""

    def __call__(self, vault: Vault, *, now: datetime) -> int: ...  # noqa: D102 - said above


def pages(
    vault: Vault, by: InstrumentedAttribute[UUID], *more: Column, where: Collection[ColumnElement[bool]] = ()
) -> Iterator[Sequence[Row[Any]]]:
    """Read columns of a whole table, in the order of its key *by*, which is the first of them."""
    query, after = select(by, *more).where(*where).order_by(by).limit(PAGE), None
    while True:
        with vault.data.read() as session:
            page = session.execute(query if after is None else query.where(by > after)).all()
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = page[-1][0]


def generations(vault: Vault, owners: Iterable[bytes]) -> dict[bytes, set[int]]:
    """Return the generations that there is a key for, of a page of owners' digests; without those that have none."""
    found: dict[bytes, set[int]] = {}
    # In the order of the index, so that its pages are read once each.
    wanted = (KeySlot.owner.in_(sorted(owners)), KeySlot.wrapped != DESTROYED)
    with vault.register.store.read() as session:
        for owner, generation in session.execute(select(KeySlot.owner, KeySlot.generation).where(*wanted)):
            found.setdefault(owner, set()).add(generation)
    return found


def without_key(vault: Vault, kind: OwnerKind, ids: Iterable[UUID]) -> list[UUID]:
    """Return those of a page of *ids* that have no key left at all."""
    by_digest = {Owner(kind, one).digest: one for one in ids}
    living = generations(vault, by_digest)
    dead = {digest: one for digest, one in by_digest.items() if digest not in living}
    refuse_older_register(vault, [(digest, 1) for digest in dead])
    return list(dead.values())


def refuse_older_register(vault: Vault, sealed_under: Collection[tuple[bytes, int]]) -> None:
    """Refuse to take rows for dead whose keys this register never had: it is older than the data.

    A key that was destroyed leaves its slot; one that the register does not know was made after somebody copied it.

    Args:
        sealed_under: the owner's digest and the generation of each key that is not there.

    Raises:
        ForeignRegisterError: one of them never was.
    """
    if not sealed_under:
        return
    owners = sorted({owner for owner, _ in sealed_under})
    with vault.register.store.read() as session:
        known = session.execute(select(KeySlot.owner, KeySlot.generation).where(KeySlot.owner.in_(owners))).all()
    if set(sealed_under) - {(row.owner, row.generation) for row in known}:
        msg = (
            "the register in MIEN_KEYS_DIR is older than the data: it never had keys that rows are sealed with, and "
            "would take them for ended. Put the newest register back (docs/how-to/back-up-and-restore.md)"
        )
        raise ForeignRegisterError(msg)


def tombstones(vault: Vault, kind: EndedKind, ids: Iterable[UUID]) -> dict[UUID, Tombstone]:
    """Return the tombstones of those of a page of *ids* that ended."""
    by_digest = {tombstone_digest(kind, one): one for one in ids}
    with vault.register.store.read() as session:
        stones = session.scalars(select(Tombstone).where(Tombstone.digest.in_(sorted(by_digest)))).all()
    return {by_digest[stone.digest]: stone for stone in stones}


def ended_pages(
    vault: Vault, kind: EndedKind, by: Column, *, where: Collection[ColumnElement[bool]] = ()
) -> Iterator[dict[UUID, Tombstone]]:
    """Yield the tombstones of a table's rows that ended, page by page, each by the value of its column *by*."""
    for page in pages(vault, by, where=where):
        if ended := tombstones(vault, kind, (row[0] for row in page)):
            yield ended
