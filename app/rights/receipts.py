"""A person's receipts, to be taken again, each with its proof once the log has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.ledger import issuing, log
from app.ledger.bundle import Bundle
from app.ledger.receipts import Receipt
from app.ledger.receipts import read as read_receipt
from app.ledger.strict import from_base64url
from app.ledger.tables import ReceiptRow
from app.subjects import service as subjects
from app.vault.seal import KekError, Key, SealError
from app.vault.vault import Vault

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """One receipt, its place in the person's list, and what it says."""

    id: UUID
    position: int
    said: Receipt
    bundle: Bundle


def of(session: Session, key: Key, *, subject_id: UUID, limit: int, before: int | None) -> Sequence[Held]:
    """Return the person's receipts, newest first."""
    query = select(ReceiptRow).where(ReceiptRow.subject_id == subject_id)
    if before is not None:
        query = query.where(ReceiptRow.position < before)
    rows = session.scalars(query.order_by(ReceiptRow.position.desc()).limit(limit)).all()
    opened = [(row, issuing.opened(key, row.id, row.sealed)) for row in rows]
    return [Held(row.id, row.position, said(bundle), bundle) for row, bundle in opened]


def said(bundle: Bundle) -> Receipt:
    """Return what a receipt of ours says; it was sealed by us, and its signature is for others to check."""
    return read_receipt(from_base64url(bundle.jws.split(".")[1]))


def of_access(vault: Vault, *, subject_id: UUID, now: datetime) -> Bundle | None:
    """Issue a receipt of an access; None if it cannot be written: nobody waits for that to see their data."""
    try:
        with vault.data.write() as session:
            subjects.get(session, subject_id)
            return subjects.issue_receipt(session, vault, subject_id, "access", now=now)
    except (DBAPIError, KekError, SealError) as error:
        logger.warning("no receipt of an access", error=type(error).__name__)
        return None


def with_proof(vault: Vault, bundle: Bundle) -> Bundle:
    """Return a receipt with the proof that it is in the log, once it is."""
    try:
        return bundle.model_copy(update={"proof": log.inclusion(vault, bytes.fromhex(bundle.leaf))})
    except log.NotInTheLogError:
        return bundle
