"""Batches: all pending leaves join the tree together, in random order and with padding, at fixed times.

So the transparency log hides the time, the order and the number of acts within an interval. One batch is due in each
interval of `MIEN_LOG_INTERVAL` seconds, counted from 1970. A batch without leaves counts too: otherwise the next act
would join at once, and show its time.

1. Read the pending leaves from the data store.
2. Add them to the tree in the register, with its new head: one commit for each `LEAVES_PER_COMMIT` leaves.
3. Delete them from the data store, and store the new checkpoint there: one commit.

After a crash between 2 and 3, the next batch finds the leaves in the tree and only deletes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.kit.crash_points import operation
from app.settings import Settings
from app.transparency.log import padding, tiles
from app.transparency.log.signing_keys import log_origin, sign_head
from app.transparency.tables import LeafIndex, LogHead, OpenEntry, PendingLeaf, SeenHead
from app.transparency.verify.checkpoint import Checkpoint
from app.vault.vault import Vault

LEAVES_PER_COMMIT = 1000
"""Limits the time for which a batch blocks other writers of the register to about 0.1 s."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of a batch."""

    leaves: int
    """New leaves of acts, without padding."""
    size: int
    """The size of the log after the batch."""


def batch_turn(now: datetime, interval: float) -> int:
    """Return the number of the interval that contains *now*."""
    return int(now.timestamp() // interval)


def next_batch(now: datetime, interval: float) -> datetime:
    """Return the time at which the next batch is due."""
    return datetime.fromtimestamp((batch_turn(now, interval) + 1) * interval, UTC)


def promise_deadline(now: datetime, interval: float) -> datetime:
    """Return the time by which a leaf that is pending at *now* joins the log: the end of the next interval."""
    return datetime.fromtimestamp((batch_turn(now, interval) + 2) * interval, UTC)


def append_batch(vault: Vault, *, settings: Settings, now: datetime, at_once: bool = False) -> BatchResult | None:
    """Add the pending leaves to the tree if a batch is due; return None if none is.

    Args:
        vault: the stores.
        settings: the interval of batches, and their padding.
        now: the time.
        at_once: run also when no batch is due, because the data store is about to be replaced.
    """
    # First without the write lock: the scheduler calls far more often than a batch is due.
    with vault.register.store.read() as session:
        head = latest_head_row(session)
    if head is None or not (at_once or _due(head, settings.log_interval, now)):
        return None
    return _join(vault, settings, now=now, at_once=at_once)


def _due(head: LogHead, interval: float, now: datetime) -> bool:
    # Not `>`: after a clock error into the future, leaves must not wait until that time.
    return batch_turn(now, interval) != batch_turn(head.looked_at, interval)


@operation("transparency log batch")
def _join(vault: Vault, settings: Settings, *, now: datetime, at_once: bool) -> BatchResult | None:
    with vault.data.read() as session:
        # In the order of their hashes, which is random.
        pending = session.scalars(select(PendingLeaf)).all()
    joined = 0
    for start in range(0, max(1, len(pending)), LEAVES_PER_COMMIT):
        some = pending[start : start + LEAVES_PER_COMMIT]
        appended = _append(vault, settings, some, now=now, at_once=at_once or start > 0)
        if appended is None:
            return None
        joined, head = joined + appended[0], appended[1]
    _mark_joined(vault, [row.leaf for row in pending], head)
    return BatchResult(joined, head.size)


def _append(
    vault: Vault, settings: Settings, pending: Sequence[PendingLeaf], *, now: datetime, at_once: bool
) -> tuple[int, Checkpoint] | None:
    """Add leaves to the tree in one commit; return the number of new ones, and the new checkpoint."""
    origin_id = vault.register.check_origin()
    guard = vault.register.key(tiles.guard_owner(origin_id))
    with vault.register.store.write() as session:
        head = latest_head_row(session)
        # Checked again under the lock: another process may have run this batch.
        if head is None or not (at_once or _due(head, settings.log_interval, now)):
            return None
        leaves = _new_leaves(session, pending)
        nothing, multiple, noise = at_once and not leaves, settings.log_padding, settings.log_noise
        padded = [] if nothing else padding.pad(leaves, multiple=multiple, noise=noise)
        root = tiles.append_leaves(session, padded, size=head.size, guard=guard)
        checkpoint = Checkpoint(log_origin(origin_id), head.size + len(padded), root)
        if padded:
            session.add(LogHead(size=checkpoint.size, root=root, made_at=now, looked_at=now))
        else:
            head.looked_at = now
    return len(leaves), checkpoint


def _mark_joined(vault: Vault, leaves: Sequence[bytes], head: Checkpoint) -> None:
    """Delete the pending leaves from the data store, and store the checkpoint that has them."""
    note = sign_head(vault, head)
    with vault.data.write() as session:
        for start in range(0, len(leaves), LEAVES_PER_COMMIT):
            some = leaves[start : start + LEAVES_PER_COMMIT]
            session.execute(delete(PendingLeaf).where(PendingLeaf.leaf.in_(some)))
        session.merge(SeenHead(id=1, size=head.size, root=head.root, note=note))


def latest_head_row(session: Session) -> LogHead | None:
    """Return the newest head of the log; None before it has begun."""
    return session.scalar(select(LogHead).order_by(LogHead.size.desc()).limit(1))


def _new_leaves(session: Session, pending: Sequence[PendingLeaf]) -> list[bytes]:
    """Return the leaves that are not in the tree yet, and keep the records of open entries."""
    to_join = set(session.scalars(select(OpenEntry.leaf).where(OpenEntry.joined.is_(False)).limit(LEAVES_PER_COMMIT)))
    leaves = to_join | {row.leaf for row in pending}
    leaves -= set(session.scalars(select(LeafIndex.leaf).where(LeafIndex.leaf.in_(leaves))))
    session.add_all(
        OpenEntry(leaf=row.leaf, salt=row.salt, record=row.record, joined=True)
        for row in pending
        if row.leaf in leaves and row.salt is not None and row.record is not None
    )
    session.execute(update(OpenEntry).where(OpenEntry.leaf.in_(to_join)).values(joined=True))
    session.flush()
    return list(leaves)
