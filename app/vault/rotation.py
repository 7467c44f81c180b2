"""The rotation of the key-encryption key: every key is wrapped under a new one, and the old one destroyed.

So every older copy of the register becomes useless to whoever has no copy of the old key-encryption key too. In order,
each step durable before the next, beside a service that works:

1. There is a new key-encryption key (`vault.kek`).
2. The register turns to it, in one commit: whatever is issued from now on is wrapped under it.
3. Every key is wrapped under it, in its place (`tables.KeySlot`), a batch to a commit; the service writes in between.
4. The register's log is emptied: what was written over is in no file.
5. Nothing is under the old one any more; it is destroyed (`vault.kek`).

What is interrupted, at whatever point, is finished by the next call, which then begins no other rotation.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from app.kit.crash_points import operation, step
from app.vault.key_encryption_keys import UnknownKekError, locked
from app.vault.register import DESTROYED, Register, key_context, origin_context
from app.vault.seal import Kek, KekError, SealError
from app.vault.tables import KeySlot, Origin

BATCH = 500
"""Keys to a commit: some ten milliseconds in which nobody else writes to the register."""
PAUSE_S = 0.01
"""Between two batches. SQLite does not queue its writers: without a pause, others find it taken each time they look."""
REPLACE = text("UPDATE keys SET kek_id = :kek_id, wrapped = :wrapped WHERE slot = :slot")

Slot = Row[int, bytes, int, str, bytes]
Progress = Callable[[int, int], None]


class RotationError(KekError):
    """The rotation cannot be finished now. Nothing is lost; the same command carries on with it."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """The result of a rotation."""

    kek_id: str
    keys_rewrapped: int
    """In this call: a resumed one may find some or all of them done."""
    resumed: bool
    to_do: str | None


def no_progress(_done: int, _all: int) -> None:
    """Ignore the progress (the default)."""


def unnoted(_register: Session) -> None:
    """Write no note into the register."""


@operation("rotation")
def rotate(
    register: Register, *, progress: Progress = no_progress, note: Callable[[Session], None] = unnoted
) -> Rotated:
    """Wrap every key under a new key-encryption key and destroy the old one; or finish doing so.

    Args:
        register: whose keys.
        progress: told how far it is.
        note: writes down that the register turned to another, in the same commit.

    Raises:
        KekError: it cannot begin; or, as a RotationError, cannot be finished now.
    """
    with _alone(register):
        register.origin()
        turn = register.ring.source.begin(_in_force(register))
        register.ring.reload()
        _turn_to(register, turn.new, note)
        rewrapped = _rewrap_all(register, turn.new, progress)
        if not register.store.checkpoint():
            msg = "the register's log could not be emptied: it is being read, or the disk is full. Run this again"
            raise RotationError(msg)
        _check_all_under(register, turn.new)
        register.ring.source.finish()
        register.ring.reload()
    return Rotated(turn.new.id, rewrapped, turn.resumed, turn.to_do)


@contextmanager
def _alone(register: Register) -> Iterator[None]:
    try:
        with locked(register.store.path.parent, wait=False):
            yield
    except BlockingIOError as error:
        msg = "another rotation is under way"
        raise RotationError(msg) from error


def _in_force(register: Register) -> str:
    with register.store.read() as session:
        return session.execute(select(Origin.kek_id)).scalar_one() or ""


def _turn_to(register: Register, new: Kek, note: Callable[[Session], None]) -> None:
    if _in_force(register) == new.id:
        return
    with register.store.write() as session:
        row = session.execute(select(Origin)).scalar_one()
        old = register.ring.get(row.kek_id or "")
        row.proof = old.rewrap(row.proof, origin_context(row.id), under=new)
        row.kek_id = new.id
        note(session)


def _rewrap_all(register: Register, new: Kek, progress: Progress) -> int:
    living = select(func.count()).select_from(KeySlot).where(KeySlot.kek_id != new.id, KeySlot.wrapped != DESTROYED)
    with register.store.read() as session:
        total = session.execute(living).scalar_one()
    done, last = 0, 0
    while True:
        with register.store.write() as session:
            slots = _batch(session, new, after=last)
            if not slots:
                break
            values = [_rewrapped(register, slot, new) for slot in slots]
            session.connection().execute(REPLACE, values)
        last = slots[-1].slot
        done += sum(one["wrapped"] != DESTROYED for one in values)
        progress(done, total)
        time.sleep(PAUSE_S)
    step("keys wrapped")
    return done


def _batch(session: Session, new: Kek, *, after: int) -> list[Slot]:
    columns = (KeySlot.slot, KeySlot.owner, KeySlot.generation, KeySlot.kek_id, KeySlot.wrapped)
    old = select(*columns).where(KeySlot.slot > after, KeySlot.kek_id != new.id).order_by(KeySlot.slot).limit(BATCH)
    return list(session.execute(old))


def _rewrapped(register: Register, slot: Slot, new: Kek) -> dict[str, object]:
    """Return a slot's new values, as long as the old."""
    number, owner, generation, kek_id, wrapped = slot
    if wrapped != DESTROYED:
        context = key_context(owner, generation)
        try:
            old = register.ring.get(kek_id)
            rewrap = old.rewrap_of_0_1 if kek_id == old.id_of_0_1 else old.rewrap
            wrapped = rewrap(wrapped, context, under=new)
        except (UnknownKekError, SealError) as error:
            msg = (
                f"the key in slot {number} of the register does not open; the old key-encryption key was left as it is"
            )
            raise RotationError(msg) from error
    return {"slot": number, "kek_id": new.id, "wrapped": wrapped}


def _check_all_under(register: Register, new: Kek) -> None:
    with register.store.read() as session:
        others = session.execute(select(func.count()).where(KeySlot.kek_id != new.id)).scalar_one()
        in_force = session.execute(select(Origin.kek_id)).scalar_one()
    if others or in_force != new.id:
        msg = f"{others} keys are still under another key-encryption key; it was left as it is. Run this again"
        raise RotationError(msg)
