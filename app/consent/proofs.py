"""Proof that a consent existed, found only by the consent's random id.

A proof is stored under the SHA-256 of the consent's id. It holds the notice, the purpose, the relying party and two
days: no subject and no reference. The table stores its rows by digest, so they have no order of time.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, true, update
from sqlalchemy.orm import Session

from app.consent.tables import ConsentProof, Grant

PAGE = 500
"""Proofs deleted in one transaction."""


def digest(consent_id: UUID) -> bytes:
    """Return the primary key of a proof."""
    return hashlib.sha256(f"consent proof:{consent_id}".encode()).digest()


def add(session: Session, grant: Grant, *, retention: timedelta, given_on: date) -> None:
    """Write the proof of a new consent; none if the *retention* is zero."""
    if retention:
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


def set_end(session: Session, consent_id: UUID, *, on: date) -> None:
    """Record the day on which the consent ended; its retention starts then."""
    unended = (ConsentProof.digest == digest(consent_id), ConsentProof.ended_on.is_(None))
    session.execute(update(ConsentProof).where(*unended).values(ended_on=on))


def find(session: Session, consent_id: UUID) -> ConsentProof | None:
    """Return the proof of one consent."""
    return session.get(ConsentProof, digest(consent_id))


def list_proofs(session: Session, consent_ids: Collection[UUID]) -> Sequence[tuple[UUID, ConsentProof]]:
    """Return each of these consents that has a proof, with the proof, the oldest first."""
    by_digest = {digest(consent_id): consent_id for consent_id in consent_ids}
    proofs = session.scalars(select(ConsentProof).where(ConsentProof.digest.in_(by_digest)))
    return sorted(((by_digest[proof.digest], proof) for proof in proofs), key=lambda pair: (pair[1].given_on, pair[0]))


def list_old(session: Session, *, retention: timedelta, today: date) -> Sequence[bytes]:
    """Return the digests of a page of proofs past their *retention*; of all proofs if it is zero."""
    past: ColumnElement[bool] = ConsentProof.ended_on < today - retention if retention else true()
    return session.scalars(select(ConsentProof.digest).where(past).limit(PAGE)).all()


def delete_proofs(session: Session, digests: Sequence[bytes]) -> int:
    """Delete these proofs and return how many existed."""
    deleted = delete(ConsentProof).where(ConsentProof.digest.in_(digests)).returning(ConsentProof.digest)
    return len(session.scalars(deleted).all())
