"""How leaves join the tree: all that are pending at once, shuffled and filled up, when the clock on the wall says so.

So the log does not tell when in that time something happened, in which order, or how often. A batch is due once in each
stretch of `MIEN_LOG_INTERVAL` seconds, counted from 1970; a batch that finds nothing uses its turn up all the same, or
the next act would not wait.

1. The pending leaves are read from the data store.
2. They join the tree in the register, with its new head: one commit, or some if they are many.
3. They leave the data store, and the new checkpoint is noted there: one commit.

Killed between the two, the next batch finds them in the tree and takes them for done.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.orm import Session

from app.kit.crash_points import operation
from app.transparency.log import padding, tiles
from app.transparency.log.signing_keys import load_signer, log_origin
from app.transparency.tables import KeyUse, LeafIndex, LogHead, OpenEntry, PendingLeaf, SeenHead
from app.transparency.verify.checkpoint import Checkpoint, sign_checkpoint
from app.vault.vault import Vault

CHANCE = secrets.SystemRandom()
AT_ONCE = 1000
"""Leaves that join the tree in one commit: a tenth of a second in which nobody else writes to the register."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch did."""

    leaves: int
    """Of acts; those that fill it up are not counted."""
    size: int
    """Of the log now."""


def batch_turn(now: datetime, interval: float) -> int:
    """Return in which stretch of time *now* is."""
    return int(now.timestamp() // interval)


def promise_deadline(now: datetime, interval: float) -> datetime:
    """Return until when a leaf that is pending at *now* will be in the log: the end of the next stretch of time."""
    return datetime.fromtimestamp((batch_turn(now, interval) + 2) * interval, UTC)


def append_batch(vault: Vault, *, now: datetime, at_once: bool = False) -> BatchResult | None:
    """Let the pending leaves join the tree, if a batch is due; returns what it did.

    Args:
        at_once: do not wait for the clock. For when the data that they are in is about to be replaced.
    """
    # Looked at first without the lock: a sweep asks far more often than a batch is due.
    with vault.register.store.read() as session:
        head = latest_head_row(session)
    if head is None or not (at_once or _due(head, vault, now)):
        return None
    return _join(vault, now=now, at_once=at_once)


def _due(head: LogHead, vault: Vault, now: datetime) -> bool:
    interval = vault.settings.log_interval
    # Not "later than": a clock that once was ahead must not keep leaves waiting until then.
    return batch_turn(now, interval) != batch_turn(head.looked_at, interval)


@operation("batch of the log")
def _join(vault: Vault, *, now: datetime, at_once: bool) -> BatchResult | None:
    with vault.data.read() as session:
        # They lie by their hashes: in no order of time, whichever are taken together.
        pending = session.scalars(select(PendingLeaf)).all()
    joined, head = 0, None
    for start in range(0, max(1, len(pending)), AT_ONCE):
        done = _append(vault, pending[start : start + AT_ONCE], now=now, at_once=at_once or start > 0)
        if done is None:
            return None
        joined, head = joined + done[0], done[1]
    if head is not None:
        _note_seen(vault, [one.leaf for one in pending], head)
    return None if head is None else BatchResult(joined, head.size)


def _append(
    vault: Vault, pending: Sequence[PendingLeaf], *, now: datetime, at_once: bool
) -> tuple[int, Checkpoint] | None:
    """Put some leaves into the tree, in one commit; returns how many were new, and what the tree is then."""
    origin_id = vault.register.check_origin()
    guard = vault.register.key(tiles.guard_owner(origin_id))
    with vault.register.store.write() as session:
        head = latest_head_row(session)
        # Once more: another process may have been first, and a turn has one batch.
        if head is None or not (at_once or _due(head, vault, now)):
            return None
        leaves = _new(session, pending)
        settings, nothing = vault.settings, at_once and not leaves
        filled = [] if nothing else _filled(leaves, settings.log_padding, settings.log_noise)
        root = tiles.append_leaves(session, filled, size=head.size, guard=guard)
        checkpoint = Checkpoint(log_origin(origin_id), head.size + len(filled), root)
        _note_head(session, head, size=checkpoint.size, root=root, now=now)
    return len(leaves), checkpoint


def _note_seen(vault: Vault, leaves: Sequence[bytes], head: Checkpoint) -> None:
    """Take the leaves out of the data, which from now on has seen this checkpoint."""
    note = sign_checkpoint(head, name=head.origin, private_key=load_signer(vault, KeyUse.CHECKPOINTS).private)
    seen = {"size": head.size, "root": head.root, "note": note}
    with vault.data.write() as session:
        for start in range(0, len(leaves), AT_ONCE):
            session.execute(delete(PendingLeaf).where(PendingLeaf.leaf.in_(leaves[start : start + AT_ONCE])))
        row = upsert(SeenHead).values(id=1, **seen)
        session.execute(row.on_conflict_do_update(index_elements=["id"], set_=seen))


def latest_head_row(session: Session) -> LogHead | None:
    """Return the newest head of the log; None before it has begun."""
    return session.scalar(select(LogHead).order_by(LogHead.size.desc()).limit(1))


def _new(session: Session, pending: Sequence[PendingLeaf]) -> list[bytes]:
    """Return the leaves that are not in the tree yet, and note the records of entries about nobody."""
    to_join = set(session.scalars(select(OpenEntry.leaf).where(OpenEntry.joined.is_(False)).limit(AT_ONCE)))
    leaves = to_join | {one.leaf for one in pending}
    leaves -= set(session.scalars(select(LeafIndex.leaf).where(LeafIndex.leaf.in_(leaves))))
    session.add_all(
        OpenEntry(leaf=one.leaf, salt=one.salt, record=one.record, joined=True)
        for one in pending
        if one.leaf in leaves and one.salt is not None and one.record is not None
    )
    session.execute(update(OpenEntry).where(OpenEntry.leaf.in_(to_join)).values(joined=True))
    session.flush()
    return list(leaves)


def _filled(leaves: Sequence[bytes], multiple: int, noise: int) -> list[bytes]:
    """Return the leaves of a batch in random order, with random ones that nobody can tell from the others.

    Filled up to a multiple, so that a quiet batch looks like one in which little was done. And before that with a
    number that nobody knows: whoever fills a batch up themselves could else count what others did.
    """
    least = len(leaves) + (padding.draw_padding(noise, chance=CHANCE) if noise else 0)
    wanted = multiple * max(1, -(-least // multiple)) if multiple > 1 else least
    filled = [*leaves, *(secrets.token_bytes(tiles.HASH_BYTES) for _ in range(wanted - len(leaves)))]
    CHANCE.shuffle(filled)
    return filled


def _note_head(session: Session, head: LogHead, *, size: int, root: bytes, now: datetime) -> None:
    if size == head.size:
        head.looked_at = now
    else:
        session.add(LogHead(size=size, root=root, made_at=now, looked_at=now))
