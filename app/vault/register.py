"""The register: keys by owner and generation, and tombstones. It never goes back in time.

* A key is committed here before the row that it seals is committed there.
* An end (keys out, tombstones in) is one commit, made just before the data store's own.
* No method is called with a register transaction open; each opens its own short one.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Self
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, delete, func, select

from app.kit.db import Store
from app.vault.seal import Kek, KekError, Key, SealError
from app.vault.tables import EndedKind, KeyRow, Origin, OwnerKind, Tombstone


class KeyGoneError(Exception):
    """There is no such key: its owner has ended, or has a newer generation."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What a key belongs to."""

    kind: OwnerKind
    id: UUID

    @classmethod
    def subject(cls, subject_id: UUID) -> Self:
        """Own as a person: their name, history and records."""
        return cls(OwnerKind.SUBJECT, subject_id)

    @classmethod
    def grant(cls, grant_id: UUID) -> Self:
        """Own as a grant: the template or photos that hang from it."""
        return cls(OwnerKind.GRANT, grant_id)

    def context(self, generation: int) -> str:
        """Say where its key belongs, for the wrapping."""
        return f"key:{self.kind}:{self.id}:{generation}"


@dataclass(frozen=True, slots=True)
class Ended:
    """Something that ended, when, and as what (`withdrawn`, `revoked`, …)."""

    kind: EndedKind
    id: UUID
    ended_as: str
    on: date


_KEPT_BY = {EndedKind.SUBJECT: OwnerKind.SUBJECT, EndedKind.GRANT: OwnerKind.GRANT}
"""What has keys of its own. A table, since members of two enums are never one another's."""


def tombstone_digest(kind: EndedKind, ended_id: UUID) -> bytes:
    """Return what a tombstone is known by: without the random id itself, it points at nobody."""
    return hashlib.sha256(f"tombstone:{kind}:{ended_id}".encode()).digest()


class Register:
    """The register in one database."""

    def __init__(self, store: Store, kek: Kek) -> None:
        self.store = store
        self._kek = kek

    def origin(self) -> UUID:
        """Return which register this is; the first call names it.

        Raises:
            KekError: it was made with another key-encryption key.
        """
        with self.store.read() as session:
            row = session.scalar(select(Origin))
        if row is None:
            row = self._name()
        try:
            self._kek.unwrap(row.proof, f"origin:{row.id}")
        except SealError as error:
            msg = "the key-encryption key is not the one that this register was made with"
            raise KekError(msg) from error
        return row.id

    def _name(self) -> Origin:
        with self.store.write() as session:
            row = session.scalar(select(Origin))
            if row is None:
                origin_id = uuid4()
                row = Origin(id=origin_id, proof=self._kek.wrap_new(f"origin:{origin_id}"))
                session.add(row)
            return row

    def issue(self, owner: Owner) -> int:
        """Make the next key of *owner*, commit it, and return its generation (the first is 1)."""
        with self.store.write() as session:
            newest = select(func.max(KeyRow.generation)).where(*_of(owner))
            generation = (session.scalar(newest) or 0) + 1
            wrapped = self._kek.wrap_new(owner.context(generation))
            session.add(
                KeyRow(
                    owner_kind=owner.kind,
                    owner_id=owner.id,
                    generation=generation,
                    kek_id=self._kek.id,
                    wrapped=wrapped,
                )
            )
        return generation

    def key(self, owner: Owner, generation: int = 1) -> Key:
        """Return one key.

        Raises:
            KeyGoneError: it was destroyed, or never was.
        """
        with self.store.read() as session:
            wrapped = session.scalar(select(KeyRow.wrapped).where(*_of(owner), KeyRow.generation == generation))
        if wrapped is None:
            raise KeyGoneError
        return self._kek.unwrap(wrapped, owner.context(generation))

    def end(self, ended: Iterable[Ended]) -> None:
        """Destroy every key of what ended and write its tombstone, in one commit. Repeating it is harmless."""
        with self.store.write() as session:
            for one in ended:
                if (owner_kind := _KEPT_BY.get(one.kind)) is not None:
                    session.execute(delete(KeyRow).where(*_of(Owner(owner_kind, one.id))))
                digest = tombstone_digest(one.kind, one.id)
                if session.get(Tombstone, digest) is None:
                    session.add(Tombstone(digest=digest, kind=one.kind, ended_as=one.ended_as, ended_on=one.on))

    def forget(self, owner: Owner, generation: int) -> None:
        """Destroy a key that nothing came to be sealed with."""
        with self.store.write() as session:
            session.execute(delete(KeyRow).where(*_of(owner), KeyRow.generation == generation))

    def retire(self, owner: Owner, *, keep: Collection[int]) -> None:
        """Destroy the generations of *owner* that seal nothing any more: all but *keep* and those newer."""
        with self.store.write() as session:
            old = KeyRow.generation < max(keep, default=0)
            session.execute(delete(KeyRow).where(*_of(owner), old, KeyRow.generation.not_in(keep)))

    def generations(self, kind: OwnerKind) -> dict[UUID, set[int]]:
        """Return the generations that every owner of *kind* has a key for."""
        found: dict[UUID, set[int]] = {}
        with self.store.read() as session:
            rows = session.execute(select(KeyRow.owner_id, KeyRow.generation).where(KeyRow.owner_kind == kind))
            for owner_id, generation in rows:
                found.setdefault(owner_id, set()).add(generation)
        return found

    def ended(self, kind: EndedKind) -> dict[bytes, Tombstone]:
        """Return the tombstones of everything of *kind* that ended, by their digest."""
        with self.store.read() as session:
            stones = session.scalars(select(Tombstone).where(Tombstone.kind == kind))
            return {stone.digest: stone for stone in stones}


def _of(owner: Owner) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return KeyRow.owner_kind == owner.kind, KeyRow.owner_id == owner.id
