"""A found photo tried with one reference after another: the relying party that does it is stopped.

For each relying party the references are remembered with which it failed in the last hour (the *window*): not the
face, or nobody's. They are salted digests, sealed under a key of the service, and gone after the window. With too many
of them nothing more is compared for it until a window has passed. That is counted where the decision is written, in
the same transaction, and each person whose reference was tried is told in the same one.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import Uuid, bindparam, delete, select
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.comparisons import touching
from app.comparisons.errors import SweepStoppedError, seconds
from app.comparisons.policy import Failed, Tried, failed, tried
from app.comparisons.tables import FailedReferences
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.vault.register import Owner
from app.vault.seal import Key, SealError
from app.vault.vault import Vault

KEY_OWNER = Owner.service(UUID("b1d0a9a4-5f6e-4c55-8a51-0c7d8c1be2f3"))
"""Whose key the counts are sealed under: the service's, in every register another key."""
SALT_BYTES = 16
DIGEST_BYTES = 16
"""Enough to tell the references of one relying party apart within a window."""

log = structlog.get_logger()

_STATE = select(FailedReferences.sealed).where(FailedReferences.relying_party_id == bindparam("party_id", type_=Uuid()))


def _put() -> Insert:
    row = insert(FailedReferences)
    return row.on_conflict_do_update(index_elements=["relying_party_id"], set_={"sealed": row.excluded.sealed})


_PUT = _put()


@operation("beginning to count")
def begin(vault: Vault) -> None:
    """Make the key that the counts are sealed under, if there is none."""
    if not vault.register.keys_left([KEY_OWNER.digest]):
        vault.register.issue(KEY_OWNER)


@dataclass(slots=True)
class Watch:
    """One relying party, as the verification under way watches it."""

    vault: Vault
    key: Key
    relying_party_id: UUID

    @classmethod
    def on(cls, vault: Vault, relying_party_id: UUID) -> "Watch":
        """Watch this one."""
        return cls(vault, vault.register.key(KEY_OWNER), relying_party_id)

    @property
    def window(self) -> timedelta:
        """For how long a failure counts, and a relying party is stopped."""
        return timedelta(seconds=self.vault.settings.failed_references_window_s)

    def refuse_if_stopped(self, session: Session, *, now: datetime) -> None:
        """Refuse whatever it asks, if it is stopped.

        Raises:
            SweepStoppedError: it is.
        """
        until = self.stopped_until(session, now=now)
        if until is not None:
            raise SweepStoppedError(retry_after_s=seconds(until - now))

    def stopped_until(self, session: Session, *, now: datetime) -> datetime | None:
        """Return until when it is stopped, if it is."""
        return self._counted(session, now=now)[1].stopped_until

    def add(self, session: Session, subject_ref: str, comparison_id: UUID | None, *, now: datetime) -> None:
        """Count that it failed with a reference; with too many, stop it and tell everybody whom it tried."""
        salt, known = self._counted(session, now=now)
        if known.stopped_until is not None:
            return
        known = failed(known, _digest(salt, subject_ref), comparison_id, now=now)
        if len(known.failed) >= self.vault.settings.failed_references:
            self._stop(session, known, now=now)
            known = Tried({}, now + self.window)
        self._write(session, salt, known)

    def _stop(self, session: Session, known: Tried, *, now: datetime) -> None:
        party_id, on = str(self.relying_party_id), now.date().isoformat()
        entries.add_open_entry(session, entries.make_entry(LoggedAct.SWEEP_STOPPED, relying_party_id=party_id, on=on))
        ids = [one for failed in known.failed.values() for one in failed.comparison_ids]
        people = touching.tell(session, self.vault, ids, relying_party_id=self.relying_party_id, now=now)
        log.warning("a sweep was stopped", relying_party=party_id, references=len(known.failed), people=people)

    @operation("counting an unusable reference")
    def add_unusable(self, subject_ref: str, tell_time: Clock) -> None:
        """Count a reference that it may not use, in a transaction of its own: it stays unusable without."""
        try:
            with self.vault.data.write() as session:
                self.add(session, subject_ref, None, now=tell_time())
        except (DBAPIError, SealError) as error:
            log.warning("an unusable reference was not counted", error=type(error).__name__)

    def shorten(self, sealed: bytes, *, now: datetime) -> bool:
        """Delete what does not count any more. Says whether there was anything, in what was read as *sealed*."""
        _, before = _read(self.key.open(sealed, _place(self.relying_party_id)))
        if tried(before, window=self.window, now=now) == before:
            return False
        with self.vault.data.write() as session:
            salt, known = self._counted(session, now=now)
            if known.failed or known.stopped_until:
                self._write(session, salt, known)
            else:
                mine = FailedReferences.relying_party_id == self.relying_party_id
                session.execute(delete(FailedReferences).where(mine))
        return True

    def _counted(self, session: Session, *, now: datetime) -> tuple[bytes, Tried]:
        """Return the salt of the digests and what counts; a salt is drawn anew where nothing does."""
        found = session.connection().execute(_STATE, {"party_id": self.relying_party_id}).first()
        if found is not None:
            salt, known = _read(self.key.open(found[0], _place(self.relying_party_id)))
            known = tried(known, window=self.window, now=now)
            if known.failed or known.stopped_until:
                return salt, known
        return secrets.token_bytes(SALT_BYTES), Tried({})

    def _write(self, session: Session, salt: bytes, known: Tried) -> None:
        sealed = self.key.seal(_written(salt, known), _place(self.relying_party_id))
        session.connection().execute(_PUT, {"relying_party_id": self.relying_party_id, "sealed": sealed})


def stopped(vault: Vault, *, now: datetime) -> dict[UUID, datetime]:
    """Return the relying parties that are stopped, and until when."""
    found = {}
    with vault.data.read() as session:
        party_ids = session.scalars(select(FailedReferences.relying_party_id)).all()
        for party_id in party_ids:
            until = Watch.on(vault, party_id).stopped_until(session, now=now)
            if until is not None:
                found[party_id] = until
    return found


def forget(vault: Vault, *, now: datetime) -> int:
    """Delete of each relying party what does not count any more. Returns of how many there was something."""
    with vault.data.read() as session:
        rows = session.execute(select(FailedReferences.relying_party_id, FailedReferences.sealed)).all()
    return sum(Watch.on(vault, row.relying_party_id).shorten(row.sealed, now=now) for row in rows)


def _place(party_id: UUID) -> str:
    return f"failed_references.sealed:{party_id}"


def _digest(salt: bytes, subject_ref: str) -> str:
    return hashlib.sha256(salt + subject_ref.encode()).hexdigest()[: 2 * DIGEST_BYTES]


def _written(salt: bytes, known: Tried) -> bytes:
    until = known.stopped_until
    told = {
        digest: [one.at.isoformat(), *(str(comparison_id) for comparison_id in one.comparison_ids)]
        for digest, one in known.failed.items()
    }
    return json.dumps({"salt": salt.hex(), "failed": told, "until": until and until.isoformat()}).encode()


def _read(plain: bytes) -> tuple[bytes, Tried]:
    held = json.loads(plain)
    told: Iterable[tuple[str, list[str]]] = held["failed"].items()
    known = {
        digest: Failed(datetime.fromisoformat(at), tuple(map(UUID, comparison_ids)))
        for digest, (at, *comparison_ids) in told
    }
    until = held["until"]
    return bytes.fromhex(held["salt"]), Tried(known, until and datetime.fromisoformat(until))
