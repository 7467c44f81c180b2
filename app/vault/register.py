"""The register: keys by owner and generation, and tombstones. It never goes back in time.

* A key is committed here before the row that it seals is committed there.
* An end (keys out, tombstones in) is one commit, made just before the data store's own.
* No method but those named `…_in` is called with a register transaction open; each opens its own short one.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Self, TypeAlias, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, bindparam, func, select, update
from sqlalchemy.orm import Session

from app.db.sqlite.store import Store
from app.vault.key_encryption_keys import Ring, UnknownKekError
from app.vault.seal import WRAPPED_BYTES, Kek, Key, SealError
from app.vault.tables import EndedKind, KeySlot, Origin, OwnerKind, Tombstone

T = TypeVar("T")
READINGS = 5
"""How often a key is read before it is said that what it is under is not at hand."""


class KeyGoneError(Exception):
    """The register has no such key: its owner has ended, or has a newer generation."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a key."""

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

    @classmethod
    def log(cls, log_key_id: UUID) -> Self:
        """Own as the log: what nobody's ending takes away."""
        return cls(OwnerKind.LOG, log_key_id)

    @classmethod
    def service(cls, use_id: UUID) -> Self:
        """Own as the service, for one use."""
        return cls(OwnerKind.SERVICE, use_id)

    @property
    def digest(self) -> bytes:
        """What the register knows it by."""
        return _digest("owner", self.kind, self.id)

    def context(self, generation: int) -> str:
        """Say where its key belongs, for the wrapping."""
        return key_context(self.digest, generation)

    def context_of_0_1(self, generation: int) -> str:
        """Say the same as version 0.1 did."""
        return f"key:{self.kind}:{self.id}:{generation}"


Retired: TypeAlias = tuple[Owner, Collection[int]]
"""Whose older keys go, and the generations that stay."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Something that ended, when, and as what (`withdrawn`, `revoked`, …)."""

    kind: EndedKind
    id: UUID
    ended_as: str
    on: date


_KEPT_BY = {EndedKind.SUBJECT: OwnerKind.SUBJECT, EndedKind.GRANT: OwnerKind.GRANT}
"""What has keys of its own. A table, since members of two enums are never one another's."""
_ENDS_AS = {owner: ended for ended, owner in _KEPT_BY.items()}
DESTROYED = bytes(WRAPPED_BYTES)
"""The zeros that replace a destroyed key."""
_NAME = select(Origin.id)
_SLOT = select(KeySlot.kek_id, KeySlot.wrapped).where(
    KeySlot.owner == bindparam("owner"), KeySlot.generation == bindparam("generation")
)


def _digest(what: str, kind: str, random_id: UUID) -> bytes:
    return hashlib.sha256(f"{what}:{kind}:{random_id}".encode()).digest()


def tombstone_digest(kind: EndedKind, ended_id: UUID) -> bytes:
    """Return what a tombstone is known by: without the random id itself, it points at nobody."""
    return _digest("tombstone", kind, ended_id)


def key_context(owner: bytes, generation: int) -> str:
    """Say where a key belongs with what the register holds, so that it can be wrapped anew without its owner's id."""
    return f"key:{owner.hex()}:{generation}"


def origin_context(origin_id: UUID) -> str:
    """Say where the proof of a register belongs."""
    return f"origin:{origin_id}"


class Register:
    """The register in one database."""

    def __init__(self, store: Store, ring: Ring) -> None:
        self.store = store
        self.ring = ring

    def origin(self) -> UUID:
        """Return which register this is; the first call names it.

        Raises:
            KekError: it was made with another key-encryption key.
        """
        # What was rotated away is forgotten here: whoever asks whether the service is ready asks for this.
        self.ring.reload()
        return self._reading(self._origin)

    def name(self) -> UUID:
        """Return what this register is called, without asking whether its key-encryption key is at hand.

        Raises:
            LookupError: nobody has named it yet.
        """
        with self.store.read() as session:
            origin_id = session.connection().scalar(_NAME)
        if origin_id is None:
            raise LookupError("this register has no name yet")
        return origin_id

    def _origin(self) -> UUID:
        with self.store.read() as session:
            row = session.scalar(select(Origin))
        if row is None or row.kek_id is None:
            with self.store.write() as session:
                self._in_force(session)
            return self._origin()
        _prove(self.ring.get(row.kek_id), row)
        origin_id: UUID = row.id
        return origin_id

    def _in_force(self, session: Session) -> Kek:
        """Return what new keys are wrapped under; said first by whoever makes the register, or migrated it."""
        row = session.scalar(select(Origin))
        if row is None:
            kek, origin_id = self.ring.first, uuid4()
            proof = kek.wrap_new(origin_context(origin_id))
            session.add(Origin(id=origin_id, proof=proof, kek_id=kek.id))
            return kek
        if row.kek_id is None:
            _prove(self.ring.first, row)
            row.kek_id = self.ring.first.id
        return self.ring.get(row.kek_id)

    def _reading(self, read: Callable[[], T]) -> T:
        """Read again what was wrapped anew between reading it and looking for what it is under."""
        for _ in range(READINGS - 1):
            with suppress(UnknownKekError):
                return read()
        return read()

    def issue(self, owner: Owner) -> int:
        """Make the next key of *owner*, commit it, and return its generation (the first is 1).

        Raises:
            KeyGoneError: *owner* has ended.
        """
        with self.store.write() as session:
            return self.issue_in(session, owner)

    def issue_in(self, session: Session, owner: Owner) -> int:
        """Do the same in a transaction on the register that is open."""
        ends_as = _ENDS_AS.get(owner.kind)
        if ends_as is not None and session.get(Tombstone, tombstone_digest(ends_as, owner.id)) is not None:
            raise KeyGoneError
        newest = select(func.max(KeySlot.generation)).where(KeySlot.owner == owner.digest)
        generation = (session.scalar(newest) or 0) + 1
        # Asked for in the transaction: until it commits, nobody can turn to another and destroy this one.
        kek = self._in_force(session)
        wrapped = kek.wrap_new(owner.context(generation))
        session.add(KeySlot(owner=owner.digest, generation=generation, kek_id=kek.id, wrapped=wrapped))
        return generation

    def key(self, owner: Owner, generation: int = 1) -> Key:
        """Return one key.

        Raises:
            KeyGoneError: it was destroyed, or never was.
        """
        return self.keys((owner, generation))[0]

    def keys(self, *wanted: tuple[Owner, int]) -> list[Key]:
        """Return several keys, by owner and generation, as they are at one moment.

        Raises:
            KeyGoneError: one of them was destroyed, or never was.
        """
        return self._reading(lambda: self._keys(wanted))

    def _keys(self, wanted: Iterable[tuple[Owner, int]]) -> list[Key]:
        with self.store.read() as session:
            find = session.connection().execute
            found = [
                (owner, generation, find(_SLOT, {"owner": owner.digest, "generation": generation}).first())
                for owner, generation in wanted
            ]
        opened = []
        for owner, generation, slot in found:
            if slot is None or slot[1] == DESTROYED:
                raise KeyGoneError
            kek_id, wrapped = slot
            kek = self.ring.get(kek_id)
            of_0_1 = kek_id == kek.id_of_0_1
            context = owner.context_of_0_1(generation) if of_0_1 else owner.context(generation)
            opened.append(kek.unwrap(wrapped, context))
        return opened

    def keys_left(self, owners: Collection[bytes]) -> int:
        """Count the keys that the owners known by these digests have left."""
        left = select(func.count()).where(KeySlot.owner.in_(owners), KeySlot.wrapped != DESTROYED)
        with self.store.read() as session:
            return session.execute(left).scalar_one()

    def end(self, ended: Iterable[Ended], *, retired: Iterable[Retired] = ()) -> None:
        """Destroy every key of what ended and write its tombstone, in one commit. Repeating it is harmless.

        Args:
            ended: what ended.
            retired: whose older keys go in the same commit, as by `retire`.
        """
        with self.store.write() as session:
            for owner, keep in retired:
                _destroy_older(session, owner, keep)
            for one in ended:
                if (owner_kind := _KEPT_BY.get(one.kind)) is not None:
                    _destroy(session, Owner(owner_kind, one.id))
                digest = tombstone_digest(one.kind, one.id)
                if session.get(Tombstone, digest) is None:
                    session.add(Tombstone(digest=digest, kind=one.kind, ended_as=one.ended_as, ended_on=one.on))

    def forget(self, owner: Owner, generation: int) -> None:
        """Destroy a key that sealed nothing."""
        with self.store.write() as session:
            _destroy(session, owner, KeySlot.generation == generation)

    def destroy_in(self, session: Session, owner: Owner) -> None:
        """Destroy every key of *owner* in a transaction on the register that is open."""
        _destroy(session, owner)

    def retire(self, owner: Owner, *, keep: Collection[int]) -> None:
        """Destroy the generations of *owner* that no longer seal anything: all but *keep* and newer ones."""
        with self.store.write() as session:
            _destroy_older(session, owner, keep)


def _prove(kek: Kek, row: Origin) -> None:
    """Refuse a key-encryption key that does not belong to the register."""
    try:
        kek.unwrap(row.proof, origin_context(row.id))
    except SealError as error:
        raise UnknownKekError from error


def _destroy_older(session: Session, owner: Owner, keep: Collection[int]) -> None:
    _destroy(session, owner, KeySlot.generation < max(keep, default=0), KeySlot.generation.not_in(keep))


def _destroy(session: Session, owner: Owner, *which: ColumnElement[bool]) -> None:
    session.execute(update(KeySlot).where(KeySlot.owner == owner.digest, *which).values(wrapped=DESTROYED))
