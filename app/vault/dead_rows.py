"""Rows whose key was destroyed are dead; each room deletes its own before the service is ready.

Rows are read a page at a time, in no transaction, and each page is deleted in one short transaction: memory and locks
do not grow with the number of subjects. A dead row stays dead, because row ids are random and an end is for good.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, select
from sqlalchemy.orm import InstrumentedAttribute

from app.db.store import Store
from app.vault.register import DESTROYED, Owner, tombstone_digest
from app.vault.tables import EndedKind, KeySlot, OwnerKind, Tombstone
from app.vault.vault import ForeignRegisterError, Vault

PAGE = 10_000
"""Rows for each transaction. Dead rows are scattered, so fewer commits write fewer pages. The limit is the number of
parameters that SQLite takes (32,766 since 3.32); a page takes some MiB of memory."""
Column = InstrumentedAttribute[Any]


def read_pages(
    store: Store, by: Column, *more: Column, where: Collection[ColumnElement[bool]] = ()
) -> Iterator[Sequence[Row[Any]]]:
    """Yield pages of a table: its primary key *by* and the columns *more*, in the order of *by*."""
    query: Select[Any] = select(by, *more).where(*where).order_by(by).limit(PAGE)
    after = None
    while True:
        with store.read() as session:
            page = session.execute(query if after is None else query.where(by > after)).all()
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = page[-1][0]


def live_slots(vault: Vault, owners: Iterable[bytes]) -> dict[bytes, dict[int, int]]:
    """Return the slots of live keys of a page of owners, by owner digest and generation."""
    found: dict[bytes, dict[int, int]] = {}
    # Sorted like the index, so that each of its pages is read once.
    live = (KeySlot.owner.in_(sorted(owners)), KeySlot.wrapped != DESTROYED)
    with vault.register.store.read() as session:
        for owner, generation, slot in session.execute(
            select(KeySlot.owner, KeySlot.generation, KeySlot.slot).where(*live)
        ):
            found.setdefault(owner, {})[generation] = slot
    return found


def ids_without_key(vault: Vault, kind: OwnerKind, ids: Iterable[UUID]) -> list[UUID]:
    """Return those of a page of *ids* that have no live key."""
    by_digest = {Owner(kind, row_id).digest: row_id for row_id in ids}
    living = live_slots(vault, by_digest)
    dead = {digest: row_id for digest, row_id in by_digest.items() if digest not in living}
    refuse_older_register(vault, [(digest, 1) for digest in dead])
    return list(dead.values())


def refuse_older_register(vault: Vault, missing: Collection[tuple[bytes, int]]) -> None:
    """Refuse a register that is older than the data: it never had one of the keys that *missing* names.

    A destroyed key leaves its slot. A key without a slot was issued after this copy of the register was made.

    Args:
        vault: both stores.
        missing: the owner digest and the generation of each key that a row needs and the register lacks.

    Raises:
        ForeignRegisterError: the register never had one of them.
    """
    if not missing:
        return
    owners = sorted({owner for owner, _ in missing})
    with vault.register.store.read() as session:
        known = session.execute(select(KeySlot.owner, KeySlot.generation).where(KeySlot.owner.in_(owners))).all()
    if set(missing) - {(row.owner, row.generation) for row in known}:
        msg = (
            "the register in MIEN_KEYS_DIR is older than the data: it never had keys that rows are sealed with, and "
            "would treat these as ended. Put the newest register back (docs/how-to/back-up-and-restore.md)"
        )
        raise ForeignRegisterError(msg)


def find_tombstones(vault: Vault, kind: EndedKind, ids: Iterable[UUID]) -> dict[UUID, Tombstone]:
    """Return the tombstones of those of a page of *ids* that ended."""
    by_digest = {tombstone_digest(kind, ended_id): ended_id for ended_id in ids}
    with vault.register.store.read() as session:
        found = session.scalars(select(Tombstone).where(Tombstone.digest.in_(sorted(by_digest)))).all()
    return {by_digest[tombstone.digest]: tombstone for tombstone in found}


def ended_pages(
    vault: Vault, kind: EndedKind, by: Column, *, where: Collection[ColumnElement[bool]] = ()
) -> Iterator[dict[UUID, Tombstone]]:
    """Yield the tombstones of a table's rows that ended, page by page, each by the value of its column *by*."""
    for page in read_pages(vault.data, by, where=where):
        if ended := find_tombstones(vault, kind, (row[0] for row in page)):
            yield ended
