"""Turn the key-encryption key on a clock: wrap every key under a new one, and destroy the old one."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from app.db.store import Held
from app.jobs.scheduler import ScheduledJob
from app.kit.clock import Clock
from app.settings import Settings
from app.transparency.log.entries import LoggedAct, append_open_entry_in_register, find_last_time
from app.vault.register import Register
from app.vault.rotation import RotationError, RotationResult, rotate


def turn(
    register: Register, *, now: datetime, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> RotationResult:
    """Rotate the key-encryption key, or finish an interrupted rotation, and record it in the transparency log.

    Args:
        progress: called after each batch with the number of keys done and the total.

    Raises:
        KekError: it cannot begin; or, as a RotationError, cannot be finished now.
    """
    act = LoggedAct.KEY_ENCRYPTION_KEY_ROTATED
    record = partial(append_open_entry_in_register, act=act, at=now.isoformat())
    return rotate(register, progress=progress, record=record)


def is_due(register: Register, *, every: timedelta, now: datetime) -> bool:
    """Return whether a turn was interrupted, or the last one began as long ago as *every*."""
    if register.keks.source.interrupted:
        return True
    with register.store.read() as session:
        # The first key-encryption key of a register is as old as its log.
        last = find_last_time(session, LoggedAct.KEY_ENCRYPTION_KEY_ROTATED, LoggedAct.LOG_BEGUN)
    return now >= last + every


def jobs(register: Register, settings: Settings, *, clock: Clock) -> Sequence[ScheduledJob]:
    """Return the job, or none without a clock. When the service stops, a turn ends after its present batch."""
    if not settings.kek_turn_hours:
        return ()
    stopping, every = threading.Event(), timedelta(hours=settings.kek_turn_hours)

    def check_stop(_done: int, _total: int) -> None:
        if stopping.is_set():
            raise RotationError("the service stops; its next start finishes the rotation")

    def run(_held: Held) -> None:
        if is_due(register, every=every, now=clock()):
            turn(register, now=clock(), progress=check_stop)

    return (ScheduledJob(name="key-turn", every_s=settings.sweep_interval_s, run=run, interrupt=stopping.set),)
