"""What may remain of a consent: that it existed. Who holds the consent's random id finds it; nobody else finds anybody.

A proof is kept under the SHA-256 of the consent's id. It has the text that was read, the purpose, the relying party and
two days; no person, no reference, and no order: the table keeps its rows by digest.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, true, update
from sqlalchemy.orm import Session

from app.consent.tables import ConsentProof, Grant

PAGE = 500
"""Proofs that go in one transaction."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """For how long a proof is kept after the consent ended; for no time: none is written."""

    time: timedelta

    def until(self, ended_on: date) -> date:
        """Return the last day of the proof of a consent that ended then."""
        return ended_on + self.time


def digest(consent_id: UUID) -> bytes:
    """Return what a proof is known by."""
    return hashlib.sha256(f"consent proof:{consent_id}".encode()).digest()


def begin(session: Session, grant: Grant, *, keeping: Keeping, given_on: date) -> None:
    """Write the proof of a consent that is being given."""
    if keeping.time:
        session.add(
            ConsentProof(
                digest=digest(grant.id),
                notice_sha256=grant.notice_sha256,
                purpose=grant.purpose,
                relying_party_id=grant.relying_party_id,
                given_on=given_on,
                ended_on=None,
            )
        )


def end(session: Session, consent_id: UUID, *, on: date) -> None:
    """Write on the proof when its consent ended; from now on it is kept for its time."""
    mine = (ConsentProof.digest == digest(consent_id), ConsentProof.ended_on.is_(None))
    session.execute(update(ConsentProof).where(*mine).values(ended_on=on))


def find(session: Session, consent_id: UUID) -> ConsentProof | None:
    """Return the proof of one consent."""
    return session.get(ConsentProof, digest(consent_id))


def of(session: Session, consent_ids: Collection[UUID]) -> Sequence[tuple[UUID, ConsentProof]]:
    """Return the proofs there are of these consents."""
    by_digest = {digest(consent_id): consent_id for consent_id in consent_ids}
    proofs = session.scalars(select(ConsentProof).where(ConsentProof.digest.in_(by_digest)))
    return sorted(((by_digest[proof.digest], proof) for proof in proofs), key=lambda one: (one[1].given_on, one[0]))


def over(session: Session, *, keeping: Keeping, today: date) -> Sequence[bytes]:
    """Return the digests of a page of proofs whose time is over; of any, if none are kept."""
    return session.scalars(select(ConsentProof.digest).where(_over(keeping, today)).limit(PAGE)).all()


def forget(session: Session, digests: Sequence[bytes]) -> int:
    """Delete these proofs. Returns how many there were."""
    gone = delete(ConsentProof).where(ConsentProof.digest.in_(digests)).returning(ConsentProof.digest)
    return len(session.scalars(gone).all())


def _over(keeping: Keeping, today: date) -> ColumnElement[bool]:
    return ConsentProof.ended_on < today - keeping.time if keeping.time else true()
