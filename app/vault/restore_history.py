"""Histories that were left: what came after a backup, when that backup was restored.

What was given in a history that was left is in no row any more, so that nobody could end it; so it must not come back.

* A restore writes a *restoration* into the data that it prepares: it is there with that data or not at all. The
  register is left alone: until the service is started on the restored data, another backup can be restored instead.
* The start destroys every key that no row has, and says in the same commit of the register which restoration it was.
  From then on the history is left for good.
* A backup that lacks such a restoration, and is not older than what was restored, is of a history that was left, and
  is refused: it has tokens and relying parties' keys, which have no key that could be destroyed.

The clock decides only between two backups of one history.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.vault.backup_manifest import BackupError, Manifest
from app.vault.dead_rows import PAGE
from app.vault.register import DESTROYED, Owner
from app.vault.tables import KeySlot, LeftHistory, Restoration, Restored
from app.vault.vault import Vault

InUse = Callable[[Vault], Iterator[dict[Owner, set[int]]]]
"""What a room says of its keys: the owners in its rows, a page at a time, and the generations that seal something."""


def refuse_left(vault: Vault, said: Manifest) -> None:
    """Refuse a backup, opened as the data of *vault*, that is of a history that was left.

    Raises:
        BackupError: it is.
    """
    for left in _missing(vault):
        if said.made_at >= left.made_at and said.sha256 != left.sha256:
            msg = (
                f"the backup is of a history that was left when the backup of {left.made_at:%Y-%m-%d %H:%M:%S} UTC was "
                f"restored, on {left.restored_at:%Y-%m-%d}: use that one, an older one, or one made since then"
            )
            raise BackupError(msg)


def check(vault: Vault) -> None:
    """Refuse data that was put in its place by other means than a restore, and is of a history that was left.

    Raises:
        BackupError: it is.
    """
    if missing := _missing(vault):
        msg = (
            f"the data in {vault.data.path.parent} is older than the restore of {missing[0].restored_at:%Y-%m-%d}: "
            "somebody put an old copy there. Only `mien restore` brings a backup back"
        )
        raise BackupError(msg)


def mark(vault: Vault, said: Manifest, *, now: datetime) -> None:
    """Write into the restored data that it was restored, and what the register knows of earlier restores."""
    missing = _missing(vault)
    with vault.data.write() as session:
        session.add_all(Restoration(**_fields(left)) for left in missing)
        session.add(Restoration(id=uuid4(), made_at=said.made_at, sha256=said.sha256, restored_at=now))


def is_settled(vault: Vault) -> bool:
    """Return whether the service has started since the last restore."""
    with vault.data.read() as session:
        return not _unsettled(vault, session)


def settle(vault: Vault, rooms: Iterable[InUse]) -> int:
    """Destroy every key that no row has, if the data was restored since the last time. Returns how many.

    What it keeps in memory grows with the number of people and consents, by about a hundred bytes for each.
    """
    # Hold the write lock: no writer is then between a new key and the row that it seals.
    with vault.data.write() as session:
        restorations = _unsettled(vault, session)
        if not restorations:
            return 0
        owners, unused, bare = set[bytes](), list[int](), list[Owner]()
        for page in chain.from_iterable(room(vault) for room in rooms):
            living = _living(vault, page)
            for owner, used in page.items():
                owners.add(owner.digest)
                mine = living.get(owner.digest, {})
                unused += [slot for generation, slot in mine.items() if generation not in used]
                if mine and not used:
                    bare.append(owner)
        unused += _without_owner(vault, owners)
        with vault.register.store.write() as keys:
            for start in range(0, len(unused), PAGE):
                some = KeySlot.slot.in_(unused[start : start + PAGE])
                keys.execute(update(KeySlot).where(some).values(wrapped=DESTROYED))
            for owner in bare:
                # A consent without any key would be dead; what was sealed with the one that it had may be lost.
                vault.register.issue_in(keys, owner)
            keys.add_all(LeftHistory(**_fields(one)) for one in restorations)
    return len(unused)


def _living(vault: Vault, owners: Iterable[Owner]) -> dict[bytes, dict[int, int]]:
    """Return the slots of the keys of a page of owners, by digest and generation."""
    found: dict[bytes, dict[int, int]] = {}
    wanted = (KeySlot.owner.in_(sorted(one.digest for one in owners)), KeySlot.wrapped != DESTROYED)
    with vault.register.store.read() as session:
        for owner, generation, slot in session.execute(
            select(KeySlot.owner, KeySlot.generation, KeySlot.slot).where(*wanted)
        ):
            found.setdefault(owner, {})[generation] = slot
    return found


def _without_owner(vault: Vault, owners: set[bytes]) -> Iterator[int]:
    """Return the slots of the keys that belong to nobody of *owners*."""
    query, after = select(KeySlot.slot, KeySlot.owner, KeySlot.wrapped).order_by(KeySlot.slot).limit(PAGE), 0
    while True:
        with vault.register.store.read() as session:
            page = session.execute(query.where(KeySlot.slot > after)).all()
        yield from (row.slot for row in page if row.wrapped != DESTROYED and row.owner not in owners)
        if len(page) < PAGE:
            return
        after = page[-1].slot


def _unsettled(vault: Vault, session: Session) -> Sequence[Restoration]:
    with vault.register.store.read() as register:
        known = set(register.scalars(select(LeftHistory.id)))
    return [one for one in session.scalars(select(Restoration)) if one.id not in known]


def _missing(vault: Vault) -> Sequence[LeftHistory]:
    """Return the restores that the register knows of and the data does not come after, the latest first."""
    with vault.data.read() as session:
        known: set[UUID] = set(session.scalars(select(Restoration.id)))
    with vault.register.store.read() as session:
        left = session.scalars(select(LeftHistory).order_by(LeftHistory.restored_at.desc()))
        return [one for one in left if one.id not in known]


def _fields(one: Restored) -> dict[str, object]:
    return {"id": one.id, "made_at": one.made_at, "sha256": one.sha256, "restored_at": one.restored_at}
