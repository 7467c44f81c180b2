"""Deliver the messages of the outbox, each relying party independently of the others.

* Each recipient has its own thread while it has messages; the wait grows with every failed try.
* No transaction is open while a message is sent. A try is counted before it is sent, and its result is recorded after.
  A process killed in between sends the message again, under the same id.
* The time of the next try is kept in memory: after a restart the first try comes at once.
* One process at a time sends: the one that holds the lock of the job. So the times in memory are those of all tries.
* Stopping waits for no recipient: a message being sent then counts as not sent.
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
from app.callbacks.policy import LONGEST_WAIT, DeliveryState, oldest_day_tried, wait_after
from app.callbacks.tables import Message
from app.db.store import Held
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.kit.deadline import Deadline
from app.vault.ending import ending
from app.vault.seal import KekError, SealError
from app.vault.vault import Vault

SendMessage = Callable[[str, str], CallResult]
"""Sends a message (second) to a URL (first)."""

log = structlog.get_logger()


class _StoppedError(Exception):
    """The worker was stopped, or has lost its lock; it must not write any more."""


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """The result of one run over all recipients."""

    messages_acknowledged: int
    messages_pending: int


class DeliveryWorker:
    """Delivers messages to relying parties. Thread-safe.

    Args:
        days: how long a message is tried.
    """

    def __init__(self, vault: Vault, send: SendMessage, *, days: int, clock: Clock) -> None:
        self._vault, self._send, self._days, self._clock = vault, send, days, clock
        self._lock = threading.Lock()
        self._stopped = False
        self._held: Held = True
        self._threads: dict[UUID, threading.Thread] = {}
        self._next_try: dict[UUID, datetime] = {}
        """By relying party or by message."""
        self._failures: dict[UUID, int] = {}
        """Consecutive times that a relying party was unreachable."""
        self._chance = secrets.SystemRandom().random
        self._acknowledged = 0

    def start_due(self, held: Held = True) -> None:  # noqa: FBT002 - a lock
        """Start a thread for each recipient that is due; returns at once.

        Args:
            held: true as long as no other process sends. It is asked again before each message.
        """
        self._held = held
        try:
            for party_id in self._find_recipients():
                if self._is_due(party_id):
                    self._start(party_id)
        except _StoppedError:
            return

    def run_once(self, *, within_s: float, held: Held = True) -> DeliveryCounts:
        """Try every message once, then stop. Tries none if the lock is not *held*."""
        self.start_due(held)
        self.wait(within_s=within_s)
        self.stop()
        with self._vault.data.read() as session:
            pending = sum(len(outbox.list_waiting(session, party)) for party in outbox.list_recipients(session))
        return DeliveryCounts(self._acknowledged, pending)

    def wait(self, *, within_s: float) -> None:
        """Wait until the deliveries in progress have ended."""
        deadline = Deadline(within_s)
        for thread in list(self._threads.values()):
            thread.join(max(0.0, deadline.left()))

    def stop(self) -> None:
        """Prevent all further writes. Waits for a running transaction, but for no recipient."""
        with self._lock:
            self._stopped = True

    # --- In the scheduler's thread

    def _find_recipients(self) -> list[UUID]:
        before = self._oldest_day()
        with self._unless_stopped(), self._vault.data.read() as session:
            recipients = list(outbox.list_recipients(session))
            unreachable = outbox.list_without_callback(session, before=before)
        for party_id in unreachable:
            self._give_up(party_id, before)
        return recipients

    def _start(self, party_id: UUID) -> None:
        running = self._threads.get(party_id)
        if running is None or not running.is_alive():
            thread = threading.Thread(target=self._deliver, args=[party_id], name="delivery", daemon=True)
            self._threads[party_id] = thread
            thread.start()

    # --- In the thread of one recipient

    @operation("delivering callbacks")
    def _deliver(self, party_id: UUID) -> None:
        try:
            self._deliver_waiting(party_id)
        except _StoppedError:
            return
        except (DBAPIError, KekError, SealError, LookupError) as error:
            log.error("delivery failed", relying_party_id=str(party_id), error=type(error).__name__)
            self._wait(party_id)

    def _deliver_waiting(self, party_id: UUID) -> None:
        with self._unless_stopped(), self._vault.data.read() as session:
            waiting = outbox.list_waiting(session, party_id)
        tried = acknowledged = 0
        for message_id in filter(self._is_due, waiting):
            result = self._try(message_id)
            if result is None:
                continue
            tried += 1
            acknowledged += result.outcome is Outcome.ACKNOWLEDGED
            if result.outcome is Outcome.UNREACHABLE:
                log.warning("callback unreachable", relying_party_id=str(party_id), reason=result.reason)
                self._give_up(party_id, self._oldest_day())
                self._wait(party_id)
                break
        else:
            self._failures.pop(party_id, None)
            self._next_try.pop(party_id, None)
        if tried:
            with self._unless_stopped():
                self._acknowledged += acknowledged
                # Settled messages and older delivery states must leave the write-ahead log too.
                self._vault.checkpoint_all()

    def _try(self, message_id: UUID) -> CallResult | None:
        """Send one message, if it is still waiting, and record the result."""
        with self._writing() as session:
            claimed, now = outbox.claim(session, message_id), self._clock()
        if claimed is None:
            return None
        waiting, callback = claimed
        result = self._send(callback, message.sign(self._vault, waiting, now=now))
        state = self._state_after(waiting, result)
        with self._writing() as session:
            outbox.record_try(session, self._vault, message_id, state=state, now=self._clock())
        if state is DeliveryState.PENDING:
            self._next_try[message_id] = self._clock() + wait_after(waiting.attempts, chance=self._chance())
        else:
            self._next_try.pop(message_id, None)
        return result

    def _state_after(self, waiting: Message, result: CallResult) -> DeliveryState:
        if result.outcome is Outcome.ACKNOWLEDGED:
            return DeliveryState.ACKNOWLEDGED
        return DeliveryState.FAILED if waiting.made_on < self._oldest_day() else DeliveryState.PENDING

    def _give_up(self, party_id: UUID, before: date) -> None:
        with self._writing() as session:
            given_up = outbox.give_up(session, self._vault, party_id=party_id, before=before, now=self._clock())
        if given_up:
            log.error("messages were given up", relying_party_id=str(party_id), messages=given_up)

    def _oldest_day(self) -> date:
        return oldest_day_tried(self._clock().date(), days=self._days)

    def _wait(self, party_id: UUID) -> None:
        failures = self._failures[party_id] = self._failures.get(party_id, 0) + 1
        self._next_try[party_id] = self._clock() + wait_after(failures, chance=self._chance())

    def _is_due(self, waiting_id: UUID) -> bool:
        due, now = self._next_try.get(waiting_id), self._clock()
        # A time further away than any wait means that the clock was set back.
        return due is None or due <= now or due - now > LONGEST_WAIT * 2

    # --- The stores, until the worker is stopped or another process has its lock

    @contextmanager
    def _unless_stopped(self) -> Iterator[None]:
        with self._lock:
            if self._stopped or not self._held:
                raise _StoppedError
            yield

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        # Relying parties learn of ends even while nothing new is stored.
        with self._unless_stopped(), ending(self._vault), self._vault.data.write() as session:
            yield session
