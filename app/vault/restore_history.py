"""Discarded timelines: changes after a backup, discarded when that backup was restored.

No row is left by which a discarded consent could end, so a discarded change must not come back:

* A restore writes a `Restoration` into the data that it prepares. It leaves the register alone: until the service
  starts on the restored data, another backup can be restored instead.
* The start destroys every key without a row, and records the restoration in the same register commit. From then on the
  timeline is discarded for good.
* A backup without that restoration, made after the restored backup, belongs to a discarded timeline and is refused: its
  tokens and relying parties' keys have no key that could be destroyed.

The clock decides only between two backups of one timeline.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.vault.backup_manifest import BackupError
from app.vault.dead_rows import PAGE, live_slots, read_pages
from app.vault.register import DESTROYED, Owner
from app.vault.tables import KeySlot, LeftHistory, Restoration
from app.vault.vault import Vault

KeysInUse = Callable[[Vault], Iterator[dict[Owner, set[int]]]]
"""Yields pages of the owners in a room's rows, each with the generations that seal something."""


def refuse_discarded(vault: Vault, *, made_at: datetime, sha256: str = "") -> None:
    """Refuse a backup, open as the data of *vault*, if it belongs to a discarded timeline.

    Args:
        vault: both stores.
        made_at: the time of the backup.
        sha256: its digest; none for a backup by other tools.

    Raises:
        BackupError: it does.
    """
    for left in _missing(vault):
        if made_at >= left.made_at and not (sha256 and sha256 == left.sha256):
            msg = (
                f"the backup was discarded when the backup of {left.made_at:%Y-%m-%d %H:%M:%S} UTC was restored, on "
                f"{left.restored_at:%Y-%m-%d}: use that one, an older one, or one made since then"
            )
            raise BackupError(msg)


def check(vault: Vault) -> None:
    """Refuse data of a discarded timeline that was copied into place without `mien restore`.

    Raises:
        BackupError: it is.
    """
    if missing := _missing(vault):
        msg = (
            f"the data in {vault.data.place} is older than the restore of {missing[0].restored_at:%Y-%m-%d}: an "
            "old copy was put there. Only `mien restore` brings a backup back, or `mien restore-check`"
        )
        raise BackupError(msg)


def mark(vault: Vault, *, made_at: datetime, sha256: str = "", now: datetime) -> None:
    """Record this restore, and every earlier one that the register knows, in the restored data."""
    missing = _missing(vault)
    with vault.data.write() as session:
        session.add_all(Restoration(**left.fields()) for left in missing)
        session.add(Restoration(id=uuid4(), made_at=made_at, sha256=sha256, restored_at=now))


def has_new_restoration(vault: Vault) -> bool:
    """Return whether the data was restored since the service last started."""
    with vault.data.read() as session:
        return bool(_new_restorations(vault, session))


def destroy_discarded_keys(vault: Vault, rooms: Iterable[KeysInUse]) -> int:
    """Destroy every key without a row, if the data was restored since the last start. Returns the number of keys.

    Memory grows by about a hundred bytes for each subject and grant.
    """
    # The write lock keeps writers from issuing a key whose row is not committed yet.
    with vault.data.write() as session:
        restorations = _new_restorations(vault, session)
        if not restorations:
            return 0
        owners, unused, without_key = set[bytes](), list[int](), list[Owner]()
        for page in chain.from_iterable(room(vault) for room in rooms):
            living = live_slots(vault, [owner.digest for owner in page])
            for owner, used in page.items():
                owners.add(owner.digest)
                keys = living.get(owner.digest, {})
                unused += [slot for generation, slot in keys.items() if generation not in used]
                if keys and not used:
                    without_key.append(owner)
        for slots in read_pages(vault.register.store, KeySlot.slot, KeySlot.owner, KeySlot.wrapped):
            unused += [row.slot for row in slots if row.wrapped != DESTROYED and row.owner not in owners]
        with vault.register.store.write() as register:
            for start in range(0, len(unused), PAGE):
                some = KeySlot.slot.in_(unused[start : start + PAGE])
                register.execute(update(KeySlot).where(some).values(wrapped=DESTROYED))
            for owner in without_key:
                # A consent without any key would be dead; its old key may have sealed discarded rows.
                vault.register.issue_in(register, owner)
            register.add_all(LeftHistory(**restoration.fields()) for restoration in restorations)
    return len(unused)


def _new_restorations(vault: Vault, session: Session) -> Sequence[Restoration]:
    with vault.register.store.read() as register:
        known = set(register.scalars(select(LeftHistory.id)))
    return [restoration for restoration in session.scalars(select(Restoration)) if restoration.id not in known]


def _missing(vault: Vault) -> Sequence[LeftHistory]:
    """Return the restores that the register knows and the data lacks, the latest first."""
    with vault.data.read() as session:
        known: set[UUID] = set(session.scalars(select(Restoration.id)))
    with vault.register.store.read() as session:
        left = session.scalars(select(LeftHistory).order_by(LeftHistory.restored_at.desc()))
        return [restore for restore in left if restore.id not in known]
