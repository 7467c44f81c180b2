"""Tells relying parties what is in the outbox, each for itself: one that is slow or dead is nobody else's trouble.

* Each recipient has a thread of its own while there is something to send to it, and the next try comes later each time.
* No transaction is open while something is sent. A try is counted before it, and its outcome written after it; whoever
  is killed in between sends again, under the same id.
* When the next try is due is kept in memory: after a restart the first comes at once.
* When it is stopped it waits for nobody: what was being sent then counts as not sent.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.callbacks import message, outbox
from app.callbacks.http_client import CallResult, Outcome
from app.callbacks.outbox import ClaimedMessage
from app.callbacks.policy import LONGEST_WAIT, DeliveryState, oldest_day_tried, wait_after
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.kit.deadline import Deadline
from app.vault.seal import KekError, SealError
from app.vault.vault import Vault

Call = Callable[[str, str], CallResult]
"""Sends a message to an address."""

log = structlog.get_logger()


class _StoppedError(Exception):
    """It was stopped: nothing may be written any more."""


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What came of telling everybody once."""

    messages_acknowledged: int
    messages_pending: int


class DeliveryWorker:
    """Tells relying parties. Thread-safe.

    Args:
        days: for how long a message is tried.
    """

    def __init__(self, vault: Vault, call: Call, *, days: int, clock: Clock) -> None:
        self._vault, self._call, self._days, self._clock = vault, call, days, clock
        self._gate = threading.Lock()
        self._stopped = False
        self._running: dict[UUID, threading.Thread] = {}
        self._next: dict[UUID, datetime] = {}
        """When a party, or one message, is tried again."""
        self._failures: dict[UUID, int] = {}
        """How often in a row a party could not be reached."""
        self._chance = secrets.SystemRandom().random
        self._acknowledged = 0

    def look(self) -> None:
        """Send what is due, in threads; returns at once."""
        try:
            for party_id in self._recipients():
                if self._is_due(party_id):
                    self._start(party_id)
        except _StoppedError:
            return

    def once(self, *, within_s: float) -> DeliveryCounts:
        """Try everything once, and stop."""
        until = Deadline(within_s)
        self.look()
        for thread in list(self._running.values()):
            thread.join(max(0.0, until.left()))
        self.stop()
        with self._vault.data.read() as session:
            pending = sum(len(outbox.list_waiting(session, one)) for one in outbox.list_recipients(session))
        return DeliveryCounts(self._acknowledged, pending)

    def stop(self) -> None:
        """Write nothing from now on. Waits for a transaction, and for no recipient."""
        with self._gate:
            self._stopped = True

    # --- In the thread that looks

    def _recipients(self) -> list[UUID]:
        before = self._oldest_day()
        with self._reading() as session:
            found = list(outbox.list_recipients(session))
            gone = outbox.list_without_callback(session, before=before)
        for party_id in gone:
            self._give_up(party_id, before)
        return found

    def _start(self, party_id: UUID) -> None:
        running = self._running.get(party_id)
        if running is None or not running.is_alive():
            thread = threading.Thread(target=self._tell, args=[party_id], name="telling", daemon=True)
            self._running[party_id] = thread
            thread.start()

    # --- In the thread of one recipient

    @operation("telling a relying party")
    def _tell(self, party_id: UUID) -> None:
        try:
            self._tell_all(party_id)
        except _StoppedError:
            return
        except (DBAPIError, KekError, SealError, LookupError) as error:
            log.error("a relying party cannot be told", relying_party_id=str(party_id), error=type(error).__name__)
            self._wait(party_id)

    def _tell_all(self, party_id: UUID) -> None:
        with self._reading() as session:
            waiting = outbox.list_waiting(session, party_id)
        tried = acknowledged = 0
        for message_id in filter(self._is_due, waiting):
            answer = self._try(message_id)
            if answer is None:
                continue
            tried += 1
            acknowledged += answer.outcome is Outcome.ACKNOWLEDGED
            if answer.outcome is Outcome.UNREACHABLE:
                log.warning("callback unreachable", relying_party_id=str(party_id), reason=answer.reason)
                self._give_up(party_id, self._oldest_day())
                self._wait(party_id)
                break
        else:
            self._failures.pop(party_id, None)
            self._next.pop(party_id, None)
        if tried:
            self._settle(acknowledged)

    def _try(self, message_id: UUID) -> CallResult | None:
        """Send one message, if it is still to be sent, and write down what came of it."""
        with self._writing() as session:
            claimed, now = outbox.claim(session, message_id), self._clock()
        if claimed is None:
            return None
        answer = self._call(claimed.callback, message.sign(self._vault, claimed, now=now))
        state = self._state(claimed, answer)
        with self._writing() as session:
            outbox.record_try(session, self._vault, message_id, state=state, now=self._clock())
        if state is DeliveryState.PENDING:
            self._next[message_id] = self._clock() + wait_after(claimed.attempts, chance=self._chance())
        else:
            self._next.pop(message_id, None)
        return answer

    def _state(self, claimed: ClaimedMessage, answer: CallResult) -> DeliveryState:
        if answer.outcome is Outcome.ACKNOWLEDGED:
            return DeliveryState.ACKNOWLEDGED
        return DeliveryState.FAILED if claimed.made_on < self._oldest_day() else DeliveryState.PENDING

    def _give_up(self, party_id: UUID, before: date) -> None:
        with self._writing() as session:
            given_up = outbox.give_up(session, self._vault, party_id=party_id, before=before, now=self._clock())
        if given_up:
            log.error("a relying party was not told", relying_party_id=str(party_id), messages=given_up)

    def _oldest_day(self) -> date:
        return oldest_day_tried(self._clock().date(), days=self._days)

    def _wait(self, party_id: UUID) -> None:
        failures = self._failures[party_id] = self._failures.get(party_id, 0) + 1
        self._next[party_id] = self._clock() + wait_after(failures, chance=self._chance())

    def _is_due(self, one: UUID) -> bool:
        due, now = self._next.get(one), self._clock()
        # Further off than any wait: the clock was set back.
        return due is None or due <= now or due - now > LONGEST_WAIT * 2

    # --- The stores, until it is stopped

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._gate:
            if self._stopped:
                raise _StoppedError
            yield

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._open(), self._vault.data.read() as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with self._open(), self._vault.data.write() as session:
            yield session

    def _settle(self, acknowledged: int) -> None:
        """Take what was told, and how a line was before, out of the write-ahead log too."""
        with self._open():
            self._acknowledged += acknowledged
            self._vault.settle()
