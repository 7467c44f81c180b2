"""Read the whole register at once; the program has no such query."""

from sqlalchemy import select

from app.vault.register import DESTROYED, Register
from app.vault.tables import EndedKind, KeySlot, Tombstone


def generations(register: Register) -> dict[bytes, set[int]]:
    """Return the generations of all live keys, by the digest of their owner."""
    found: dict[bytes, set[int]] = {}
    with register.store.read() as session:
        for owner, generation in session.execute(
            select(KeySlot.owner, KeySlot.generation).where(KeySlot.wrapped != DESTROYED)
        ):
            found.setdefault(owner, set()).add(generation)
    return found


def tombstones(register: Register, kind: EndedKind) -> dict[bytes, Tombstone]:
    """Return the tombstones of one kind, by their digest."""
    with register.store.read() as session:
        stones = session.scalars(select(Tombstone).where(Tombstone.kind == kind))
        return {stone.digest: stone for stone in stones}
