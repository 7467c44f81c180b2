"""Both stores together, and the one transaction in which keys are issued and things end.

* To give: commit the key in the register, then the row in the data store.
* To end: delete the rows and write the event in one data transaction. Before it commits, the register destroys the keys
  and writes the tombstones in one commit. At last both write-ahead logs are emptied.
* To replace (a recovery code, for example): the data commit that adds the new also writes an `Ending`. The register
  follows after that commit, or at the next start.

After an interruption a row without its key is dead; it is deleted before the service is ready. Locks are taken in one
order: data, then register.
"""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import delete, event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.db.errors import AlteredStoreError
from app.db.store import Store
from app.kit.errors import OperatorError
from app.vault.authentic_rows import RowCodes
from app.vault.register import Ended, OldKeys, Owner, Register
from app.vault.tables import BoundTo, EndedKind, Ending

log = structlog.get_logger()


class ForeignRegisterError(OperatorError):
    """The register does not belong to this data store: with it, every row would be dead."""


def bound_to(data: Store) -> UUID | None:
    """Return the id of the register that *data* is tied to; None for new data."""
    if data.is_empty():
        return None
    with data.read() as session:
        return session.scalar(select(BoundTo.origin_id))


@dataclass(slots=True)
class Change:
    """One write transaction in which keys are issued or things end."""

    session: Session
    register: Register
    issued: list[tuple[Owner, int]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    """Ends before the commit."""
    old_keys: list[OldKeys] = field(default_factory=list)
    """Destroyed before the commit."""
    replaced_keys: list[OldKeys] = field(default_factory=list)
    """Destroyed after the commit."""
    has_endings: bool = False
    """Whether something ends with the commit."""
    erased_from_disk: bool = True
    """After the block: False if bytes of the ended rows are still in a write-ahead log."""

    def issue(self, owner: Owner) -> int:
        """Issue the next key of *owner*, and commit it in the register before the row that it will seal.

        Inside the data transaction, so that generations are issued in the order in which their rows commit.
        """
        generation = self.register.issue(owner)
        self.issued.append((owner, generation))
        return generation

    def end(self, kind: EndedKind, ended_id: UUID, *, ended_as: str, on: date, after_commit: bool = False) -> None:
        """Destroy the keys of this id for good, and write its tombstone.

        Args:
            kind: the kind of the id.
            ended_id: the id that ends.
            ended_as: how it ended, for the tombstone.
            on: the day for the tombstone.
            after_commit: this transaction writes its replacement, which must exist first.
        """
        if after_commit:
            self.session.add(Ending(kind=kind, id=ended_id, ended_as=ended_as, ended_on=on))
            self.has_endings = True
        else:
            self.ended.append(Ended(kind, ended_id, ended_as, on))

    def drop_old_keys(self, owner: Owner, *, keep: Collection[int], after_commit: bool = False) -> None:
        """Destroy the keys of *owner* that are older than the newest of *keep* and not among these.

        Args:
            owner: the owner of the keys.
            keep: the generations that still seal something.
            after_commit: this transaction replaces the rows that the old keys sealed.
        """
        (self.replaced_keys if after_commit else self.old_keys).append((owner, keep))


class Vault:
    """The data store and its register."""

    def __init__(self, data: Store, register: Register) -> None:
        self.data = data
        self.register = register
        self.codes = RowCodes(register)
        """The authentication codes of rows of the data store."""
        self.codes.install(data)
        self.unfinished = False
        """Whether a change failed after it destroyed keys: the next maintenance run deletes the dead rows."""
        self._unused_keys: list[tuple[Owner, int]] = []
        self._counting, self._rebuilding = threading.Lock(), threading.Lock()
        self._rebuild_requests = self._rebuilt = 0
        self._rebuild_checkpointed = False

    def close(self) -> None:
        """Close both stores."""
        self.data.close()
        self.register.store.close()

    def bind(self) -> None:
        """Tie new data to this register."""
        origin_id = self.register.check_origin()
        with self.data.write() as session:
            if session.scalar(select(BoundTo.origin_id)) is None:
                session.add(BoundTo(origin_id=origin_id))

    def check_bound(self) -> None:
        """Refuse a register that does not belong to the data.

        Raises:
            ForeignRegisterError: the data is tied to another register.
            KekError: the key-encryption key does not belong to the register.
        """
        if bound_to(self.data) != self.register.check_origin():
            msg = (
                "the register in MIEN_KEYS_DIR does not belong to the data in MIEN_DATA_DIR; with it every row would "
                "be treated as erased. Set MIEN_KEYS_DIR to the register of this data"
            )
            raise ForeignRegisterError(msg)

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Open a write transaction in which keys are issued or things end.

        If the block raises, its rows are rolled back and the keys that it issued are destroyed.
        """
        keys_gone = False
        issued: list[tuple[Owner, int]] = []
        try:
            with self.data.write() as session:
                change = Change(session, self.register, issued)
                yield change
                session.flush()
                keys_gone = bool(change.ended or change.old_keys)
                if keys_gone:
                    # One commit: a crash between two would end only one of several.
                    self.register.end(change.ended, old_keys=change.old_keys)
                # After the commit the issued keys are in use, even if a later step raises.
                event.listen(session, "after_commit", lambda _session: issued.clear())
        except BaseException:
            for key in issued:
                if not self._try_now("destroy an unused key", partial(self.register.destroy_key, *key)):
                    self._unused_keys.append(key)
            self.unfinished |= keys_gone
            raise
        for owner, keep in change.replaced_keys:
            self._try_now("destroy replaced keys", partial(self.register.drop_old_keys, owner, keep=keep))
        if change.has_endings:
            self._try_now("finish endings", self.finish_endings)
        if keys_gone or change.has_endings or change.replaced_keys:
            change.erased_from_disk = self.checkpoint_all()

    def _try_now(self, name: str, work: Callable[[], None]) -> bool:
        """Do *work* in the register; if the register fails, leave it to the next maintenance run."""
        try:
            work()
        except (DBAPIError, AlteredStoreError) as error:
            self.unfinished = True
            log.error("key work postponed", work=name, error=type(getattr(error, "orig", error)).__name__)
            return False
        return True

    def retry_pending_key_work(self) -> None:
        """Do in the register the work that failed, or that a crash prevented."""
        while self._unused_keys:
            self.register.destroy_key(*self._unused_keys[-1])
            self._unused_keys.pop()
        self.finish_endings()

    def finish_endings(self) -> None:
        """Write in the register everything that ended with a data commit."""
        with self.data.read() as session:
            endings = session.scalars(select(Ending)).all()
        if not endings:
            return
        self.register.end([Ended(ending.kind, ending.id, ending.ended_as, ending.ended_on) for ending in endings])
        with self.data.write() as session:
            for ending in endings:
                session.execute(delete(Ending).where(Ending.kind == ending.kind, Ending.id == ending.id))

    def vacuum_and_checkpoint(self) -> bool:
        """Rewrite the data store and empty both write-ahead logs, so that no deleted byte is left.

        The register needs no rewriting: see `tables.KeySlot`.
        """
        # A rebuild blocks every writer. One serves all callers whose deletions were committed before it began.
        with self._counting:
            self._rebuild_requests += 1
            mine = self._rebuild_requests
        with self._rebuilding:
            if self._rebuilt < mine:
                with self._counting:
                    covered = self._rebuild_requests
                if not self.data.rebuild():
                    # A rebuild that the disk ended leaves a large write-ahead log.
                    self.checkpoint_all()
                    return False
                self._rebuilt = covered
                self._rebuild_checkpointed = self.checkpoint_all()
            return self._rebuild_checkpointed or self.checkpoint_all()

    def checkpoint_all(self) -> bool:
        """Empty both write-ahead logs. Returns False if deleted bytes are left: a reader or the server keeps them."""
        if not (self.data.removes_bytes and self.register.store.removes_bytes):
            return False
        # Try both, even if a reader blocks the first.
        blocked = [store.name for store in (self.data, self.register.store) if not store.checkpoint()]
        if blocked:
            log.warning("checkpoint held up", stores=blocked)
        return not blocked
