"""Delay the next comparison of a subject after failed ones (NIST SP 800-63B-4).

Failures are counted in the transaction of the decision, sealed under the subject's key. They are checked twice: before
an image is decoded, and with the decision, because parallel requests may have failed in between.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.comparisons.errors import TooManyFailuresError, whole_seconds
from app.comparisons.policy import DAY, Decision, Failure, FailureLimits, add_decision, remaining_wait
from app.comparisons.tables import Attempts
from app.db.store import delete_matching
from app.settings import Settings
from app.vault.seal import Key
from app.vault.sealed_list import SealedRecord
from app.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """The sealed content of an `attempts` row."""

    failures: list[Failure]


_RECORDS = SealedRecord(Attempts, FailureRecord)


def failure_limits(settings: Settings) -> FailureLimits:
    """Return the limits that the settings define."""
    return FailureLimits(
        free=settings.free_failures,
        delay=timedelta(seconds=settings.failure_delay_s),
        longest=timedelta(seconds=settings.failure_delay_max_s),
        per_day=settings.failures_per_day,
    )


def find_row(session: Session, subject_id: UUID) -> Attempts:
    """Return the subject's row; a new one, which is not stored yet, if there is none."""
    # The caller holds the lock of the subject's rows until it commits.
    row = session.scalar(select(Attempts).where(Attempts.subject_id == subject_id))
    return row or Attempts(id=uuid4(), subject_id=subject_id, sealed=b"")


class FailureLog:
    """The failures of one subject, opened with their key."""

    def __init__(self, row: Attempts, key: Key) -> None:
        self._row = row
        self._key = key
        self._failures = _RECORDS.open(key, row.id, row.sealed).failures if row.sealed else []

    def refuse_if_too_many(self, relying_party_id: UUID, limits: FailureLimits, *, now: datetime) -> None:
        """Refuse another comparison by the relying party while it has to wait.

        Raises:
            TooManyFailuresError: it has to wait.
        """
        wait = remaining_wait(self._failures, relying_party_id=relying_party_id, limits=limits, now=now)
        if wait:
            raise TooManyFailuresError(retry_after_s=whole_seconds(wait))

    def add(self, session: Session, decision: Decision, relying_party_id: UUID, *, now: datetime) -> None:
        """Store the failures as they are after *decision*."""
        failures = add_decision(self._failures, decision, relying_party_id=relying_party_id, now=now)
        if failures is None:
            return
        self._row.last_on = failures[-1].at.date()
        self._row.sealed = _RECORDS.seal(self._key, self._row.id, FailureRecord(failures))
        session.add(self._row)


def delete_expired(vault: Vault, *, now: datetime) -> int:
    """Delete the rows whose failures no longer count. Returns the number of rows."""
    return delete_matching(vault.data, Attempts.id, Attempts.last_on < (now - DAY).date())
