"""Rotation of the key-encryption key: wrap every key under a new one, then destroy the old one.

Afterwards older copies of the register are useless without a copy of the old key-encryption key. The service may run
meanwhile. Each step is durable before the next:

1. Create the new key-encryption key (`vault.kek_file` for one in a file).
2. Record it in the register, in one commit: keys issued from now on are wrapped under it.
3. Wrap every key under it, in place (`tables.KeySlot`), one batch for each commit.
4. On SQLite, empty the register's write-ahead log, which still holds the old bytes. PostgreSQL keeps them for a while.
5. Check that no key is under the old key-encryption key, and destroy that.

The next call finishes an interrupted rotation; it then begins no other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.orm import Session

from app.db.row_updates import RowUpdates
from app.kit.crash_points import operation, step
from app.vault.key_encryption_keys import UnknownKekError
from app.vault.register import DESTROYED, Register, key_context, origin_context
from app.vault.seal import Kek, KekError, SealError
from app.vault.tables import KeySlot, Origin

BATCH = 4000
"""Keys for each commit: other writers of the register wait for their writing, some tens of milliseconds."""
REPLACE = RowUpdates(KeySlot, changes=("kek_id", "wrapped"), expected=("slot", "wrapped"))
"""A key that was destroyed since it was read stays so."""

Slot = Row[int, bytes, int, str, bytes]
Progress = Callable[[int, int], None]


class RotationError(KekError):
    """The rotation cannot be finished now. Nothing is lost; the same command continues it."""


@dataclass(frozen=True, slots=True)
class RotationResult:
    """The result of a rotation."""

    kek_id: str
    keys_rewrapped: int
    """By this call; an interrupted call before it may have wrapped others."""
    resumed: bool
    to_do: str | None


@operation("rotating the key-encryption key")
def rotate(
    register: Register,
    *,
    progress: Progress = lambda _done, _total: None,
    record: Callable[[Session], None] = lambda _session: None,
) -> RotationResult:
    """Rotate the key-encryption key, or finish an interrupted rotation.

    Args:
        register: the register whose keys are wrapped anew.
        progress: called after each batch with the number of keys done and the total.
        record: records the rotation, in the commit that brings the new key-encryption key into force.

    Raises:
        KekError: it cannot begin; or, as a RotationError, cannot be finished now.
    """
    with register.store.lock("rotation") as alone:
        if not alone:
            raise RotationError("another rotation is under way")
        register.check_origin()
        rotation = register.keks.source.begin(_in_force(register))
        register.keks.reload()
        _put_in_force(register, rotation.new, record)
        rewrapped = _rewrap_all(register, rotation.new, progress)
        if register.store.removes_bytes and not register.store.checkpoint():
            msg = (
                "the register's write-ahead log could not be emptied: another process reads it, or the disk is full. "
                "Run this again"
            )
            raise RotationError(msg)
        _check_all_under(register, rotation.new)
        register.keks.source.finish()
        register.keks.reload()
    return RotationResult(rotation.new.id, rewrapped, rotation.resumed, rotation.to_do)


def _in_force(register: Register) -> str:
    with register.store.read() as session:
        return session.execute(select(Origin.kek_id)).scalar_one() or ""


def _put_in_force(register: Register, new: Kek, record: Callable[[Session], None]) -> None:
    if _in_force(register) == new.id:
        return
    with register.store.write() as session:
        row = session.execute(select(Origin)).scalar_one()
        old = register.keks.get(row.kek_id or "")
        row.proof = old.rewrap(row.proof, origin_context(row.id), under=new)
        row.kek_id = new.id
        record(session)


def _rewrap_all(register: Register, new: Kek, progress: Progress) -> int:
    with register.store.read() as session:
        total = session.execute(select(func.count()).where(*_under_another(new))).scalar_one()
    done, last = 0, 0
    # The register is locked for the writing only: others write while the next batch is read and wrapped.
    while slots := _batch(register, new, after=last):
        values = _rewrapped(register, slots, new)
        with register.store.write() as session:
            REPLACE.execute(session, values)
        last = slots[-1].slot
        done += len(slots)
        progress(done, total)
    step("keys wrapped")
    return done


def _under_another(new: Kek) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a living key that is under another key-encryption key."""
    return KeySlot.kek_id != new.id, KeySlot.wrapped != DESTROYED


def _batch(register: Register, new: Kek, *, after: int) -> Sequence[Slot]:
    columns = (KeySlot.slot, KeySlot.owner, KeySlot.generation, KeySlot.kek_id, KeySlot.wrapped)
    old = select(*columns).where(KeySlot.slot > after, *_under_another(new)).order_by(KeySlot.slot).limit(BATCH)
    with register.store.read() as session:
        return session.connection().execute(old).all()


def _rewrapped(register: Register, slots: Sequence[Slot], new: Kek) -> list[tuple[str, bytes, int, bytes]]:
    """Return the values of `REPLACE` for these slots."""
    values: list[tuple[str, bytes, int, bytes]] = []
    for kek_id, group in groupby(slots, key=itemgetter(3)):
        keys = [(wrapped, key_context(owner, generation)) for _, owner, generation, _, wrapped in group]
        try:
            for wrapped in register.keks.get(kek_id).rewrap_all(keys, under=new):
                slot, _, _, _, old = slots[len(values)]
                values.append((new.id, wrapped, slot, old))
        except (UnknownKekError, SealError) as error:
            number = slots[len(values)].slot
            msg = f"the key in slot {number} of the register does not open; the old key-encryption key was kept"
            raise RotationError(msg) from error
    return values


def _check_all_under(register: Register, new: Kek) -> None:
    with register.store.read() as session:
        others = session.execute(select(func.count()).where(*_under_another(new))).scalar_one()
        in_force = session.execute(select(Origin.kek_id)).scalar_one()
    if others or in_force != new.id:
        msg = f"{others} keys are still under another key-encryption key, which was kept. Run this again"
        raise RotationError(msg)
