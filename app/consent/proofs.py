"""Proof that a consent existed, found only by the consent's random id.

A proof is stored under the SHA-256 of the consent's id. It holds the notice, the purpose, the relying party and two
days: no subject and no reference. The table stores its rows by digest, so they have no order of time.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, true, update
from sqlalchemy.orm import Session

from app.consent.tables import ConsentProof, Grant
from app.kit.crash_points import operation
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault.vault import Vault

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


@operation("deleting old proofs of consent")
def delete_old(vault: Vault, *, retention: timedelta, now: datetime) -> int:
    """Delete the proofs past their *retention*, or all proofs if it is zero, a page at a time. Returns how many."""
    today, total = now.date(), 0
    past: ColumnElement[bool] = ConsentProof.ended_on < today - retention if retention else true()
    while True:
        with vault.data.read() as session:
            page = session.scalars(select(ConsentProof.digest).where(past).limit(PAGE)).all()
        if not page:
            return total
        with vault.data.write() as session:
            gone = delete(ConsentProof).where(ConsentProof.digest.in_(page)).returning(ConsentProof.digest)
            deleted = len(session.scalars(gone).all())
            if deleted:
                append_open_entry(session, LoggedAct.RETENTION_RUN, proofs_deleted=deleted, on=today.isoformat())
        total += deleted
