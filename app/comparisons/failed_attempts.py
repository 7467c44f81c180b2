"""Comparisons of a person that failed: how many, and so how long the next one waits (NIST SP 800-63B-4).

They are counted in the transaction of the decision, sealed under the person's key, and looked at twice: before any
image is decoded, and again where the decision is written, so that of many at once no more are made than may be.
"""

import json
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Uuid, bindparam, delete, select
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.orm import Session

from app.comparisons.errors import TooManyFailuresError, seconds
from app.comparisons.policy import DAY, Decision, Failure, Limits, counting, wait
from app.comparisons.tables import Attempts
from app.settings import Settings
from app.vault.seal import Key
from app.vault.sealing_context import place
from app.vault.vault import Vault

# SQLite has one writer, who looks and writes; elsewhere the row would have to be locked until the decision commits.
_MINE = select(Attempts.id, Attempts.sealed).where(Attempts.subject_id == bindparam("subject_id", type_=Uuid()))


def _put() -> Insert:
    row = insert(Attempts)
    changed = {"last_on": row.excluded.last_on, "sealed": row.excluded.sealed}
    return row.on_conflict_do_update(index_elements=["id"], set_=changed)


_PUT = _put()


def limits(settings: Settings) -> Limits:
    """Return what is allowed."""
    return Limits(
        free=settings.free_failures,
        delay=timedelta(seconds=settings.failure_delay_s),
        longest=timedelta(seconds=settings.failure_delay_max_s),
        per_day=settings.failures_per_day,
    )


class Attempted:
    """What one transaction finds of a person's failures."""

    def __init__(self, session: Session, key: Key, *, subject_id: UUID) -> None:
        self._session = session
        self._key = key
        self._subject_id = subject_id
        self._id, self._failures = uuid4(), list[Failure]()
        found = session.connection().execute(_MINE, {"subject_id": subject_id}).first()
        if found is not None:
            self._id, sealed = found
            self._failures = _read(key.open(sealed, place(Attempts.sealed, self._id)))

    def refuse_if_too_many(self, relying_party_id: UUID, limits: Limits, *, now: datetime) -> None:
        """Refuse one more by this relying party, if it has to wait.

        Raises:
            TooManyFailuresError: it has to.
        """
        left = wait(self._failures, relying_party_id=relying_party_id, limits=limits, now=now)
        if left:
            raise TooManyFailuresError(retry_after_s=seconds(left))

    def add(self, decision: Decision, relying_party_id: UUID, *, now: datetime) -> None:
        """Count what was decided: a failure is one more, a match ends those in a row for this relying party."""
        known = counting(self._failures, now=now)
        if decision is Decision.NO_MATCH:
            known.append(Failure(now, relying_party_id, in_a_row=True))
        elif any(one.in_a_row and one.relying_party_id == relying_party_id for one in known):
            known = [
                Failure(one.at, one.relying_party_id, one.in_a_row and one.relying_party_id != relying_party_id)
                for one in known
            ]
        else:
            return
        row = {
            "id": self._id,
            "subject_id": self._subject_id,
            "last_on": known[-1].at.date(),
            "sealed": self._key.seal(_written(known), place(Attempts.sealed, self._id)),
        }
        self._session.connection().execute(_PUT, row)


def forget(vault: Vault, *, now: datetime) -> int:
    """Delete the rows in which nothing counts any more. Returns how many."""
    over = Attempts.last_on < (now - DAY).date()
    with vault.data.read() as session:
        if session.scalar(select(Attempts.id).where(over).limit(1)) is None:
            return 0
    with vault.data.write() as session:
        return len(session.scalars(delete(Attempts).where(over).returning(Attempts.id)).all())


def _written(failures: list[Failure]) -> bytes:
    told = [
        {"at": one.at.isoformat(), "relying_party_id": str(one.relying_party_id), "in_a_row": one.in_a_row}
        for one in failures
    ]
    return json.dumps({"failures": told}).encode()


def _read(plain: bytes) -> list[Failure]:
    return [
        Failure(datetime.fromisoformat(one["at"]), UUID(one["relying_party_id"]), one["in_a_row"])
        for one in json.loads(plain)["failures"]
    ]
