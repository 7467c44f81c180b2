"""The register: keys by owner and generation, and tombstones. It never goes back in time.

* A key is committed here before the row that it seals is committed in the data store.
* An end (keys destroyed, tombstones written) is one commit, just before the commit of the data store.
* Methods named `…_in` use an open register transaction of the caller; all others open a short one.
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

from app.db.store import Store
from app.vault.key_encryption_keys import AvailableKeks, UnknownKekError
from app.vault.seal import WRAPPED_BYTES, Kek, Key, MacKey, SealError
from app.vault.tables import EndedKind, KeySlot, Origin, OwnerKind, Tombstone

T = TypeVar("T")
READ_ATTEMPTS = 5
"""Reads of a key before its key-encryption key counts as unavailable: each may meet a rotation."""


class KeyGoneError(Exception):
    """The register has no such key: its owner has ended, or has a newer generation."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a key."""

    kind: OwnerKind
    id: UUID

    @classmethod
    def subject(cls, subject_id: UUID) -> Self:
        """Return the owner of a subject's name, history and records."""
        return cls(OwnerKind.SUBJECT, subject_id)

    @classmethod
    def grant(cls, grant_id: UUID) -> Self:
        """Return the owner of a grant's templates and photos."""
        return cls(OwnerKind.GRANT, grant_id)

    @classmethod
    def log(cls, log_key_id: UUID) -> Self:
        """Return an owner for the transparency log; erasing a subject does not destroy its key."""
        return cls(OwnerKind.LOG, log_key_id)

    @classmethod
    def service(cls, use_id: UUID) -> Self:
        """Return an owner for one use by the service itself."""
        return cls(OwnerKind.SERVICE, use_id)

    @property
    def digest(self) -> bytes:
        """The SHA-256 by which the register stores the owner."""
        return _digest("owner", self.kind, self.id)

    def context(self, generation: int) -> str:
        """Return the context that a wrapped key of this owner is bound to."""
        return key_context(self.digest, generation)


OldKeys: TypeAlias = tuple[Owner, Collection[int]]
"""An owner whose old keys are destroyed, and the generations to keep."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Something that ended, how (`withdrawn`, `revoked`, …) and when."""

    kind: EndedKind
    id: UUID
    ended_as: str
    on: date


# Two tables: a member of one enum never equals a member of another.
_OWNER_KINDS = {EndedKind.SUBJECT: OwnerKind.SUBJECT, EndedKind.GRANT: OwnerKind.GRANT}
_ENDED_KINDS = {owner: ended for ended, owner in _OWNER_KINDS.items()}
DESTROYED = bytes(WRAPPED_BYTES)
"""The zeros that replace a destroyed key."""
_SLOT = select(KeySlot.kek_id, KeySlot.wrapped).where(
    KeySlot.owner == bindparam("owner"), KeySlot.generation == bindparam("generation")
)


def _digest(name: str, kind: str, random_id: UUID) -> bytes:
    return hashlib.sha256(f"{name}:{kind}:{random_id}".encode()).digest()


def tombstone_digest(kind: EndedKind, ended_id: UUID) -> bytes:
    """Return the digest of a tombstone; without the random id it identifies nothing."""
    return _digest("tombstone", kind, ended_id)


def key_context(owner: bytes, generation: int) -> str:
    """Return the context of a wrapped key, from columns of the register: a rotation does not know the owner's id."""
    return f"key:{owner.hex()}:{generation}"


def origin_context(origin_id: UUID) -> str:
    """Return the context of the proof in `Origin`."""
    return f"origin:{origin_id}"


class Register:
    """The register in one database."""

    def __init__(self, store: Store, keks: AvailableKeks) -> None:
        self.store = store
        self.keks = keks

    def check_origin(self) -> UUID:
        """Return the id of this register, after a check of its key-encryption key. The first call creates the id.

        Raises:
            KekError: the key-encryption key does not belong to this register.
        """
        # Forgets rotated keys: every readiness check comes here.
        self.keks.reload()
        return self._retry(self._check_origin)

    def origin_id(self) -> UUID:
        """Return the id of this register, without a check of its key-encryption key.

        Raises:
            LookupError: it has no id yet.
        """
        with self.store.read() as session:
            origin_id: UUID | None = session.connection().scalar(select(Origin.id))
        if origin_id is None:
            raise LookupError("this register has no id yet")
        return origin_id

    def _check_origin(self) -> UUID:
        with self.store.read() as session:
            row = session.scalar(select(Origin))
        if row is None or row.kek_id is None:
            with self.store.write() as session:
                self._kek_in_force(session)
            return self._check_origin()
        _prove(self.keks.get(row.kek_id), row)
        origin_id: UUID = row.id
        return origin_id

    def _kek_in_force(self, session: Session) -> Kek:
        """Return the key-encryption key for new keys; a new register records it here."""
        row = session.scalar(select(Origin))
        if row is None:
            kek, origin_id = self.keks.first, uuid4()
            session.add(Origin(id=origin_id, proof=kek.wrap_new(origin_context(origin_id)), kek_id=kek.id))
            return kek
        if row.kek_id is None:
            _prove(self.keks.first, row)
            row.kek_id = self.keks.first.id
        return self.keks.get(row.kek_id)

    def _retry(self, read: Callable[[], T]) -> T:
        """Read again if a rotation wrapped a key anew between reading it and finding its key-encryption key."""
        for _ in range(READ_ATTEMPTS - 1):
            with suppress(UnknownKekError):
                return read()
        return read()

    def issue(self, owner: Owner) -> int:
        """Create the next key of *owner*, commit it, and return its generation (the first is 1).

        Raises:
            KeyGoneError: *owner* has ended.
        """
        with self.store.write() as session:
            return self.issue_in(session, owner)

    def issue_in(self, session: Session, owner: Owner) -> int:
        """Do as `issue`, in an open register transaction."""
        ended_kind = _ENDED_KINDS.get(owner.kind)
        if ended_kind is not None and session.get(Tombstone, tombstone_digest(ended_kind, owner.id)) is not None:
            raise KeyGoneError
        newest = select(func.max(KeySlot.generation)).where(KeySlot.owner == owner.digest)
        generation = (session.scalar(newest) or 0) + 1
        # Inside the transaction: until it commits, no rotation can begin and destroy this key-encryption key.
        kek = self._kek_in_force(session)
        wrapped = kek.wrap_new(owner.context(generation))
        session.add(KeySlot(owner=owner.digest, generation=generation, kek_id=kek.id, wrapped=wrapped))
        return generation

    def key(self, owner: Owner, generation: int = 1) -> Key:
        """Return one key.

        Raises:
            KeyGoneError: it was destroyed, or never existed.
        """
        return self.keys((owner, generation))[0]

    def keys(self, *wanted: tuple[Owner, int]) -> list[Key]:
        """Return several keys, by owner and generation, from one read transaction.

        Raises:
            KeyGoneError: one of them was destroyed, or never existed.
        """
        return self._retry(lambda: [kek.unwrap(wrapped, context) for kek, wrapped, context in self._find(wanted)])

    def mac_key(self, owner: Owner, *, use: str) -> MacKey:
        """Return the key for authentication codes of one use, derived from the first key of *owner*.

        Raises:
            KeyGoneError: there is no such key.
        """

        def read() -> MacKey:
            ((kek, wrapped, context),) = self._find([(owner, 1)])
            return kek.unwrap_mac(wrapped, context, use=use)

        return self._retry(read)

    def _find(self, wanted: Iterable[tuple[Owner, int]]) -> list[tuple[Kek, bytes, str]]:
        """Return each wrapped key, with its key-encryption key and its context."""
        with self.store.read() as session:
            find = session.connection().execute
            found = [
                (owner.context(generation), find(_SLOT, {"owner": owner.digest, "generation": generation}).first())
                for owner, generation in wanted
            ]
        keys = []
        for context, slot in found:
            if slot is None or slot.wrapped == DESTROYED:
                raise KeyGoneError
            keys.append((self.keks.get(slot.kek_id), slot.wrapped, context))
        return keys

    def keys_left(self, owners: Collection[bytes]) -> int:
        """Count the keys that are left of the owners with these digests."""
        left = select(func.count()).where(KeySlot.owner.in_(owners), KeySlot.wrapped != DESTROYED)
        with self.store.read() as session:
            return session.execute(left).scalar_one()

    def end(self, ended: Iterable[Ended], *, old_keys: Iterable[OldKeys] = ()) -> None:
        """Destroy every key of *ended* and write the tombstones, in one commit. Repeating is harmless.

        Args:
            ended: everything that ended.
            old_keys: keys that are destroyed in the same commit, as by `drop_old_keys`.
        """
        with self.store.write() as session:
            for owner, keep in old_keys:
                _destroy_old(session, owner, keep)
            for item in ended:
                if (owner_kind := _OWNER_KINDS.get(item.kind)) is not None:
                    _destroy(session, Owner(owner_kind, item.id))
                digest = tombstone_digest(item.kind, item.id)
                if session.get(Tombstone, digest) is None:
                    session.add(Tombstone(digest=digest, kind=item.kind, ended_as=item.ended_as, ended_on=item.on))

    def destroy_key(self, owner: Owner, generation: int) -> None:
        """Destroy a key that sealed nothing."""
        with self.store.write() as session:
            _destroy(session, owner, KeySlot.generation == generation)

    def destroy_in(self, session: Session, owner: Owner) -> None:
        """Destroy every key of *owner*, in an open register transaction."""
        _destroy(session, owner)

    def drop_old_keys(self, owner: Owner, *, keep: Collection[int]) -> None:
        """Destroy the keys of *owner* that are older than the newest of *keep* and not among these."""
        with self.store.write() as session:
            _destroy_old(session, owner, keep)


def _prove(kek: Kek, row: Origin) -> None:
    """Refuse a key-encryption key that does not belong to the register."""
    try:
        kek.unwrap(row.proof, origin_context(row.id))
    except SealError as error:
        raise UnknownKekError from error


def _destroy_old(session: Session, owner: Owner, keep: Collection[int]) -> None:
    _destroy(session, owner, KeySlot.generation < max(keep, default=0), KeySlot.generation.not_in(keep))


def _destroy(session: Session, owner: Owner, *which: ColumnElement[bool]) -> None:
    session.execute(update(KeySlot).where(KeySlot.owner == owner.digest, *which).values(wrapped=DESTROYED))
