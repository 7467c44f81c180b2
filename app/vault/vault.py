"""Both stores together, and the one way in which anything ends.

Giving: the key is committed, then the row. Ending: the rows go and the event is written, in one data transaction; then
keys and tombstones, in one register commit; then the data commits; then both write-ahead logs are emptied. Whatever
interrupts it, a row without its key is dead, and `purge` removes it before the service is ready again.

What ends in favour of something new (a recovery code for the next one) must not end without it. So it ends with the
commit that gives the new: that commit also writes an `Ending`, from which the register is told at once, or after a
crash before the service is ready.

Locks are taken data first, then register, always.
"""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

import structlog
from sqlalchemy import delete, event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.db.sqlite.store import Store
from app.settings import Settings
from app.vault.register import Ended, Owner, Register, Retired
from app.vault.tables import BoundTo, EndedKind, Ending

log = structlog.get_logger()
IN_MEMORY_BYTES = 256 * 1024 * 1024
"""A larger data store is rebuilt by way of a file beside it."""


class ForeignRegisterError(Exception):
    """The register is not the one that this data store's keys are in: with it, every row would be dead."""


@dataclass(slots=True)
class Change:
    """One write transaction in which keys are given or things end."""

    session: Session
    register: Register
    issued: list[tuple[Owner, int]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    replaces: bool = False
    """Whether something ends with the commit."""
    retired: list[Retired] = field(default_factory=list)
    superseded: list[Retired] = field(default_factory=list)
    settled: bool = True
    """After the block: whether no byte of what ended is left in a write-ahead log either."""

    def issue(self, owner: Owner) -> int:
        """Make the next key of *owner* and commit it in the register, ahead of the row that it will seal.

        Inside the data transaction, so that generations are issued in the order in which their rows commit.
        """
        generation = self.register.issue(owner)
        self.issued.append((owner, generation))
        return generation

    def end(self, kind: EndedKind, ended_id: UUID, *, ended_as: str, on: date) -> None:
        """Destroy the keys of this when the block ends, and remember that it ended."""
        self.ended.append(Ended(kind, ended_id, ended_as, on))

    def replaced(self, kind: EndedKind, ended_id: UUID, *, ended_as: str, on: date) -> None:
        """End this with the commit and not before: until then what takes its place is not there."""
        self.session.add(Ending(kind=kind, id=ended_id, ended_as=ended_as, ended_on=on))
        self.replaces = True

    def retire(self, owner: Owner, *, keep: Collection[int]) -> None:
        """Destroy the older keys of *owner* before the commit: what they sealed was deleted for good."""
        self.retired.append((owner, keep))

    def supersede(self, owner: Owner, *, keep: Collection[int]) -> None:
        """Destroy the older keys of *owner* after the commit: until then what they sealed is not replaced."""
        self.superseded.append((owner, keep))


class Vault:
    """The data store, its register, and what must happen between the two."""

    def __init__(self, data: Store, register: Register, settings: Settings) -> None:
        self.data = data
        self.register = register
        self.settings = settings
        """The terms under which things are given and end, for what is written down of it."""
        self.unfinished = False
        """Whether a commit failed after it had destroyed keys: the rows without a key go with the next sweep."""
        self._leftover: list[tuple[Owner, int]] = []
        self._counting, self._scrubbing = threading.Lock(), threading.Lock()
        self._scrubs_asked = self._scrubbed = 0
        self._scrub_settled = False

    def bind(self) -> None:
        """Tie the data store to its register, at first use."""
        origin_id = self.register.origin()
        with self.data.write() as session:
            if session.scalar(select(BoundTo.origin_id)) is None:
                session.add(BoundTo(origin_id=origin_id))

    def bound_to(self) -> UUID | None:
        """Return the register that the data is tied to."""
        with self.data.read() as session:
            return session.scalar(select(BoundTo.origin_id))

    def check_bound(self) -> None:
        """Refuse a register that is not this data's.

        Raises:
            ForeignRegisterError: the data is tied to another register.
            KekError: the key-encryption key is another one than the register's.
        """
        if self.bound_to() != self.register.origin():
            msg = (
                "the register in MIEN_KEYS_DIR is not the one that the data in MIEN_DATA_DIR was sealed with; "
                "with it every row would be taken for erased. Point MIEN_KEYS_DIR to the right register"
            )
            raise ForeignRegisterError(msg)

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Open the one write transaction in which anything is given or ends; the rest follows in order.

        A block that raises leaves nothing: its rows are rolled back and the keys that it was given are destroyed.
        """
        keys_gone = False
        issued: list[tuple[Owner, int]] = []
        try:
            with self.data.write() as session:
                change = Change(session, self.register, issued)
                yield change
                session.flush()
                keys_gone = bool(change.ended or change.retired)
                if keys_gone:
                    # In one commit: a crash between two would leave one of several gone.
                    self.register.end(change.ended, retired=change.retired)
                # What comes after the commit may raise too, and then its keys are in use.
                event.listen(session, "after_commit", lambda _session: issued.clear())
        except BaseException:
            self._forget(issued)
            self.unfinished |= keys_gone
            raise
        self._follow(change)
        if change.ended or change.replaces or change.retired or change.superseded:
            change.settled = self.checkpoint_all()

    def _follow(self, change: Change) -> None:
        """Do in the register what comes after the commit; what it cannot do now is left for the next sweep."""
        try:
            for owner, keep in change.superseded:
                self.register.retire(owner, keep=keep)
        except DBAPIError as error:
            # What the caller asked for is done; the keys of what it replaced go with the next sweep.
            self.unfinished = True
            log.error("superseded keys held up", error=type(error.orig).__name__)
        try:
            if change.replaces:
                self.finish_endings()
        except DBAPIError as error:
            self.unfinished = True
            log.error("endings held up", error=type(error.orig).__name__)

    def _forget(self, issued: Collection[tuple[Owner, int]]) -> None:
        """Destroy keys whose rows did not commit; what the register cannot do now is left for the next sweep."""
        for owner, generation in issued:
            try:
                self.register.forget(owner, generation)
            except DBAPIError as error:
                self._leftover.append((owner, generation))
                self.unfinished = True
                log.error("keys of a failed change held up", error=type(error.orig).__name__)

    def retry_pending_key_work(self) -> None:
        """Do in the register what it could not do when it failed, or when the process died."""
        while self._leftover:
            self.register.forget(*self._leftover[-1])
            self._leftover.pop()
        self.finish_endings()

    def finish_endings(self) -> None:
        """Tell the register of what ended with a commit of the data."""
        with self.data.read() as session:
            endings = session.scalars(select(Ending)).all()
        if not endings:
            return
        self.register.end([Ended(one.kind, one.id, one.ended_as, one.ended_on) for one in endings])
        with self.data.write() as session:
            for one in endings:
                session.execute(delete(Ending).where(Ending.kind == one.kind, Ending.id == one.id))

    def vacuum_and_checkpoint(self) -> bool:
        """Leave no byte of what was deleted: rebuild the data store, and empty both write-ahead logs.

        The register needs no rebuilding: see `tables.KeySlot`.
        """
        # Rebuilding keeps every writer waiting: one serves all who had asked, and so deleted, before it began.
        with self._counting:
            self._scrubs_asked += 1
            mine = self._scrubs_asked
        with self._scrubbing:
            if self._scrubbed < mine:
                with self._counting:
                    covered = self._scrubs_asked
                if not self.data.rebuild(in_memory=self.data.bytes() <= IN_MEMORY_BYTES):
                    return False
                self._scrubbed = covered
                self._scrub_settled = self.checkpoint_all()
            return self._scrub_settled or self.checkpoint_all()

    def checkpoint_all(self) -> bool:
        """Empty both write-ahead logs; False if a reader held one up, and the bytes are still there."""
        # Try both, even if a reader holds up the first.
        held_up = [store.path.stem for store in (self.data, self.register.store) if not store.checkpoint()]
        if held_up:
            log.warning("checkpoint held up", stores=held_up)
        return not held_up
