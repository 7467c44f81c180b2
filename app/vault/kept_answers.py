"""Kept answers: a request that is repeated with its Idempotency-Key has one effect, and gets the first answer again.

* The answer is stored in the transaction of its effect: neither is there without the other.
* Only an answer with an effect is kept. A refused request changed nothing, so its repetition is decided anew.
* The client's key is not stored. Three values are derived from it: the first finds the row, the second makes a digest
  of the request, the third seals the answer. So only the holder of the key can open the answer.
* The row is sealed under the subject's key as well, and deleted with the subject. If it depends on a consent, it is
  deleted with that consent too.
"""

import hmac
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, TypeAlias, TypeVar
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.orm import Session

from app.db.store import delete_matching, lock_until_commit
from app.kit.clock import Clock
from app.kit.errors import Problem, TooManyAttemptsError
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import KEY_BYTES, Key
from app.vault.sealed_list import SealedRecord
from app.vault.tables import KeptAnswer
from app.vault.vault import Vault

KEPT_FOR = timedelta(hours=24)
MAX_KEPT_ANSWERS = 100
"""Kept answers of one subject after which a request without effect is refused: it costs nothing else, and each answer
takes disk space. Requests with an effect have limits of their own."""
R = TypeVar("R")
T = TypeVar("T")


class IdempotencyKeyReusedError(Problem):
    """The Idempotency-Key belongs to another request of the last 24 hours."""

    status = 422
    slug = "idempotency-key-reused"
    title = "Idempotency-Key reused"
    detail = (
        "You sent this Idempotency-Key with another request in the last 24 hours. Nothing was done. To repeat that "
        "request, send exactly the same fields and files; for a new request, use a new key."
    )


class RequestInProgressError(Problem):
    """The first request with this Idempotency-Key has no answer yet."""

    status = 409
    slug = "request-in-progress"
    title = "Request in progress"
    detail = (
        "A request with this Idempotency-Key is still in progress. Wait for as long as the header `Retry-After` says, "
        "in seconds, and send it again with the same key."
    )
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class TooManyKeptAnswersError(TooManyAttemptsError):
    """The subject sent many requests with an Idempotency-Key that changed nothing."""

    detail = (
        "You sent very many requests with an Idempotency-Key that changed nothing. Send the request without that "
        "header, or wait as many seconds as the header `Retry-After` says."
    )


@dataclass(frozen=True, slots=True)
class DependsOn:
    """The subject with whom a kept answer is erased, and the consent with which it ends."""

    subject_id: UUID
    grant_id: UUID | None = None
    without_effect: bool = False
    """Whether the request changed nothing."""


Keep: TypeAlias = Callable[[Session, T, DependsOn], None]
"""Keeps the answer that a result gives. Called in the transaction of the effect, as its last statement."""


def keep_nothing(_session: Session, _result: object, _depends_on: DependsOn) -> None:
    """Keep no answer: the request has no Idempotency-Key."""


def keep_as(answer: Callable[[R], T], keep: Keep[T]) -> Keep[R]:
    """Return a function that keeps the *answer* made from a result."""
    return lambda session, result, depends_on: keep(session, answer(result), depends_on)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request."""

    status: int | None
    """None for the usual status of the route."""
    body: str


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """The sealed content of a `kept_answers` row."""

    operation: str
    at: datetime
    request: str
    """Keyed digest of the request, in hex: without the client's key it matches no photo."""
    status: int | None
    answer: str
    """The body, sealed under the client's key, in hex."""


_RECORDS = SealedRecord(KeptAnswer, AnswerRecord)


class RequestKey:
    """The values derived from an Idempotency-Key, for one operation of one caller.

    Args:
        idempotency_key: the key, as the client chose it.
        operation: the operation. The same key may be used for each operation once.
        caller: the caller's id; empty for an operation without authentication.
    """

    def __init__(self, idempotency_key: str, *, operation: str, caller: str) -> None:
        info = f"mien kept answer\0{operation}\0{caller}".encode()
        derived = HKDF(SHA256(), length=3 * KEY_BYTES, salt=None, info=info).derive(idempotency_key.encode())
        self.operation = operation
        self.lookup = derived[:KEY_BYTES]
        self.seals = Key(derived[2 * KEY_BYTES :])
        self._digest_key = derived[KEY_BYTES : 2 * KEY_BYTES]

    def digest(self, request: Sequence[bytes]) -> str:
        """Return a keyed digest of the parts of a request."""
        digest = hmac.new(self._digest_key, digestmod="sha256")
        for part in request:
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.hexdigest()


class RequestsInProgress:
    """The keys of the requests that this process works on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lookups: set[bytes] = set()

    @contextmanager
    def claim(self, key: RequestKey) -> Iterator[None]:
        """Hold the key during the block.

        Raises:
            RequestInProgressError: another request holds it.
        """
        with self._lock:
            if key.lookup in self._lookups:
                raise RequestInProgressError
            self._lookups.add(key.lookup)
        try:
            yield
        finally:
            with self._lock:
                self._lookups.discard(key.lookup)


class KeyedRequest:
    """One request with an Idempotency-Key.

    Args:
        vault: the stores.
        key: the values derived from the key.
        request: all parts of the request that decide its effect.
        clock: the clock.
    """

    def __init__(self, vault: Vault, key: RequestKey, request: Sequence[bytes], clock: Clock) -> None:
        self._vault = vault
        self._key = key
        self._digest = key.digest(request)
        self._clock = clock
        self._expired: UUID | None = None

    def find(self, usable: ColumnElement[bool]) -> Answer | None:
        """Return the answer to the first request with this key, if it is less than a day old.

        Args:
            usable: selects the answers that may still be given.

        Raises:
            IdempotencyKeyReusedError: the first request was another one.
        """
        with self._vault.data.read() as session:
            row = session.scalar(select(KeptAnswer).where(KeptAnswer.lookup == self._key.lookup, usable))
        if row is None:
            return None
        try:
            own = self._vault.register.key(Owner.subject(row.subject_id))
        except KeyGoneError:
            return None
        record = _RECORDS.open(own, row.id, row.sealed)
        if record.at + KEPT_FOR <= self._clock():
            self._expired = row.id
            return None
        if not hmac.compare_digest(record.request, self._digest):
            raise IdempotencyKeyReusedError
        body = self._key.seals.open(bytes.fromhex(record.answer), _context(row.id))
        return Answer(record.status, body.decode())

    def keep(self, session: Session, answer: Answer, depends_on: DependsOn) -> None:
        """Store the answer in the transaction of its effect.

        Raises:
            RequestInProgressError: there is an answer that `find` did not return, so the effect must not be repeated.
            TooManyKeptAnswersError: the request has no effect, and the subject has very many kept answers.
        """
        own_answers = select(func.count(KeptAnswer.id)).where(KeptAnswer.subject_id == depends_on.subject_id)
        if depends_on.without_effect and session.scalar(own_answers) >= MAX_KEPT_ANSWERS:  # type: ignore[operator]
            raise TooManyKeptAnswersError(retry_after_s=int(KEPT_FOR.total_seconds()))
        session.flush()
        lock_until_commit(session, f"kept answer:{self._key.lookup.hex()}")
        earlier = session.scalar(select(KeptAnswer.id).where(KeptAnswer.lookup == self._key.lookup))
        if earlier not in {None, self._expired}:
            raise RequestInProgressError
        session.execute(delete(KeptAnswer).where(KeptAnswer.id == earlier))
        row_id, now = uuid4(), self._clock()
        sealed = self._key.seals.seal(answer.body.encode(), _context(row_id))
        record = AnswerRecord(self._key.operation, now, self._digest, answer.status, sealed.hex())
        own = self._vault.register.key(Owner.subject(depends_on.subject_id))
        session.execute(
            insert(KeptAnswer).values(
                id=row_id,
                subject_id=depends_on.subject_id,
                grant_id=depends_on.grant_id,
                lookup=self._key.lookup,
                kept_on=now.date(),
                sealed=_RECORDS.seal(own, row_id, record),
            )
        )


def _context(row_id: UUID) -> str:
    return f"kept answer:{row_id}"


def delete_expired(vault: Vault, *, now: datetime) -> int:
    """Delete answers that are no longer given, by their day and unopened. Returns the number of rows."""
    return delete_matching(vault.data, KeptAnswer.id, KeptAnswer.kept_on < (now - KEPT_FOR).date())
