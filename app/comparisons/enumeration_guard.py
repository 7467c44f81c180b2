"""Block relying parties that try one photo against many references, and delay those that repeat an unusable one.

For each relying party, the references with which it failed in the last hour (the *window*) are stored: no match, or no
usable reference. They are salted digests, sealed under a key of the service, and deleted after the window. Too many of
them block the relying party for one window. Failures are counted in the transaction of the decision; the same
transaction informs each subject whose reference was tried.

The same store counts how often a reference was unusable, for any reason, an unknown one too. After some times the
next request with it must wait, longer each time. So a relying party cannot measure small differences between reasons.
The block bounds the number of references, and with it the memory.
"""

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.comparisons import history
from app.comparisons.errors import SweepStoppedError, TooManyFailuresError, whole_seconds
from app.comparisons.failed_attempts import failure_limits
from app.comparisons.policy import (
    FailedReference,
    FailureLimits,
    PartyFailures,
    add_failed_reference,
    current_failures,
    wait_for_reference,
)
from app.comparisons.tables import Comparison, FailedReferences
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.settings import Settings
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import KekError, Key, SealError
from app.vault.sealed_list import SealedRecord
from app.vault.vault import Vault

KEY_OWNER = Owner.service(UUID("b1d0a9a4-5f6e-4c55-8a51-0c7d8c1be2f3"))
"""Owner of the key under which the failures are sealed. Each register has its own key."""
SALT_BYTES = 16
DIGEST_BYTES = 16
"""Long enough to distinguish the references of one relying party within a window."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FailedReferencesRecord:
    """The sealed content of a `failed_references` row."""

    salt: str
    """Of the digests, in hex."""
    failed: dict[str, list[str]]
    """By digest: the time of the last failure, then the ids of the failed comparisons."""
    until: datetime | None
    """The end of the block."""
    unusable: dict[str, int] = field(default_factory=dict)
    """By digest: how often the reference was unusable."""


_RECORDS = SealedRecord(FailedReferences, FailedReferencesRecord)


@operation("creating the failure count key")
def create_key(vault: Vault) -> None:
    """Create the key under which the failures are sealed, if it does not exist."""
    if not vault.register.keys_left([KEY_OWNER.digest]):
        vault.register.issue(KEY_OWNER)


@dataclass(frozen=True, slots=True)
class EnumerationGuard:
    """Counts the failed references of one relying party."""

    vault: Vault
    key: Key
    relying_party_id: UUID
    max_references: int
    window: timedelta
    """A failure counts this long, and a block lasts this long."""
    repeats: FailureLimits
    """Limits on requests with one unusable reference."""

    @classmethod
    def of(cls, vault: Vault, settings: Settings, relying_party_id: UUID) -> "EnumerationGuard":
        """Return the guard of a relying party."""
        window = timedelta(seconds=settings.failed_references_window_s)
        return cls(
            vault=vault,
            key=vault.register.key(KEY_OWNER),
            relying_party_id=relying_party_id,
            max_references=settings.failed_references,
            window=window,
            repeats=replace(failure_limits(settings), free=settings.unusable_repeats),
        )

    def refuse_if_stopped(self, session: Session, *, now: datetime, subject_ref: str | None = None) -> None:
        """Refuse every request of the relying party while it is blocked.

        Args:
            subject_ref: a reference that must not have to wait either.

        Raises:
            SweepStoppedError: the relying party is blocked.
            TooManyFailuresError: the reference was unusable too often.
        """
        salt, known = self._read(session, now=now)
        if known.stopped_until is not None:
            raise SweepStoppedError(retry_after_s=whole_seconds(known.stopped_until - now))
        wait = wait_for_reference(known, _digest(salt, subject_ref or ""), self.repeats, now=now)
        if subject_ref is not None and wait:
            raise TooManyFailuresError(retry_after_s=whole_seconds(wait))

    def stopped_until(self, session: Session, *, now: datetime) -> datetime | None:
        """Return the end of the block, None if the relying party is not blocked."""
        return self._read(session, now=now)[1].stopped_until

    def add(self, session: Session, subject_ref: str, comparison_id: UUID | None, *, now: datetime) -> None:
        """Count a failure with a reference; after too many, block the relying party and inform the subjects."""
        salt, known = self._read(session, now=now)
        if known.stopped_until is not None:
            return
        known = add_failed_reference(known, _digest(salt, subject_ref), comparison_id, now=now)
        if len(known.failed) >= self.max_references:
            self._stop(session, known, now=now)
            known = PartyFailures({}, now + self.window)
        self._write(session, salt, known)

    @operation("counting an unusable reference")
    def add_unusable(self, subject_ref: str, clock: Clock) -> None:
        """Count a reference that the relying party may not use, in its own transaction."""
        try:
            with self.vault.data.write() as session:
                self.add(session, subject_ref, None, now=clock())
        except (DBAPIError, SealError) as error:
            log.warning("an unusable reference was not counted", error=type(error).__name__)

    def delete_expired(self, sealed: bytes, *, now: datetime) -> bool:
        """Delete failures that no longer count. Returns whether *sealed*, the content of the row, has any."""
        _, before = self._open(sealed)
        if current_failures(before, window=self.window, now=now) == before:
            return False
        with self.vault.data.write() as session:
            salt, known = self._read(session, now=now)
            if known.failed or known.stopped_until:
                self._write(session, salt, known)
            else:
                session.execute(
                    delete(FailedReferences).where(FailedReferences.relying_party_id == self.relying_party_id)
                )
        return True

    def _stop(self, session: Session, known: PartyFailures, *, now: datetime) -> None:
        party_id, on = str(self.relying_party_id), now.date().isoformat()
        entries.add_open_entry(session, entries.make_entry(LoggedAct.SWEEP_STOPPED, relying_party_id=party_id, on=on))
        ids = [comparison_id for reference in known.failed.values() for comparison_id in reference.comparison_ids]
        subjects = _inform_subjects(session, self.vault, ids, relying_party_id=self.relying_party_id, now=now)
        log.warning("enumeration stopped", relying_party=party_id, references=len(known.failed), people=subjects)

    def _read(self, session: Session, *, now: datetime) -> tuple[bytes, PartyFailures]:
        """Return the salt of the digests and the failures that count; with no failure the salt is new."""
        row = session.get(FailedReferences, self.relying_party_id)
        if row is not None:
            salt, known = self._open(row.sealed)
            known = current_failures(known, window=self.window, now=now)
            if known.failed or known.stopped_until:
                return salt, known
        return secrets.token_bytes(SALT_BYTES), PartyFailures({})

    def _write(self, session: Session, salt: bytes, known: PartyFailures) -> None:
        failed = {
            digest: [reference.at.isoformat(), *map(str, reference.comparison_ids)]
            for digest, reference in known.failed.items()
        }
        unusable = {digest: reference.unusable for digest, reference in known.failed.items()}
        record = FailedReferencesRecord(salt.hex(), failed, known.stopped_until, unusable)
        sealed = _RECORDS.seal(self.key, self.relying_party_id, record)
        session.merge(FailedReferences(relying_party_id=self.relying_party_id, sealed=sealed))

    def _open(self, sealed: bytes) -> tuple[bytes, PartyFailures]:
        record = _RECORDS.open(self.key, self.relying_party_id, sealed)
        failed = {
            digest: FailedReference(
                datetime.fromisoformat(at), tuple(map(UUID, comparison_ids)), record.unusable.get(digest, 0)
            )
            for digest, (at, *comparison_ids) in record.failed.items()
        }
        return bytes.fromhex(record.salt), PartyFailures(failed, record.until)


def stopped_parties(vault: Vault, settings: Settings, *, now: datetime) -> dict[UUID, datetime]:
    """Return the blocked relying parties with the end of each block."""
    stopped = {}
    with vault.data.read() as session:
        for party_id in session.scalars(select(FailedReferences.relying_party_id)).all():
            until = EnumerationGuard.of(vault, settings, party_id).stopped_until(session, now=now)
            if until is not None:
                stopped[party_id] = until
    return stopped


def delete_expired(vault: Vault, settings: Settings, *, now: datetime) -> int:
    """Delete failures that no longer count. Returns the number of relying parties that had any."""
    with vault.data.read() as session:
        rows = session.execute(select(FailedReferences.relying_party_id, FailedReferences.sealed)).all()
    return sum(
        EnumerationGuard.of(vault, settings, row.relying_party_id).delete_expired(row.sealed, now=now) for row in rows
    )


def _digest(salt: bytes, subject_ref: str) -> str:
    return hashlib.sha256(salt + subject_ref.encode()).hexdigest()[: 2 * DIGEST_BYTES]


def _inform_subjects(
    session: Session, vault: Vault, comparison_ids: list[UUID], *, relying_party_id: UUID, now: datetime
) -> int:
    """Mark the comparisons in their subjects' lists, and append an entry for each subject. Returns how many subjects.

    Subjects who were erased since then have no comparisons.
    """
    by_subject: dict[UUID, list[Comparison]] = {}
    for comparison_id in comparison_ids:
        comparison = session.get(Comparison, comparison_id)
        if comparison is not None:
            by_subject.setdefault(comparison.subject_id, []).append(comparison)
    for subject_id, comparisons in by_subject.items():
        try:
            key = vault.register.key(Owner.subject(subject_id))
            for comparison in comparisons:
                comparison.sealed = history.mark_in_sweep(key, comparison.id, comparison.sealed)
            fields: dict[str, entries.Value] = {
                "relying_party_id": str(relying_party_id),
                "at": now.isoformat(),
                "comparisons": len(comparisons),
            }
            entries.append(session, key, subject_id=subject_id, entry_id=uuid4(), act=LoggedAct.SWEEP_TOUCHED, **fields)
        except (KeyGoneError, KekError, SealError) as error:
            # The block holds, and the other subjects are informed, all the same.
            log.error("a subject cannot be informed of an enumeration", error=type(error).__name__)
    return len(by_subject)
