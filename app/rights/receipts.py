"""A person's receipts, to be taken again, each with its proof once the log has it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.subjects import service as subjects
from app.transparency.log import service as log
from app.transparency.receipts import issue as issuing
from app.transparency.tables import ReceiptRow
from app.transparency.verify.bundle import Bundle
from app.transparency.verify.canonical_json import decode_base64url
from app.transparency.verify.receipt import Receipt, parse_receipt
from app.vault.seal import KekError, Key, SealError
from app.vault.vault import Vault

PATIENCE_S = 0.5
"""The longest that an access waits for its receipt to be written."""
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
    opened = [(row, issuing.open_receipt(key, row.id, row.sealed)) for row in rows]
    return [Held(row.id, row.position, said(bundle), bundle) for row, bundle in opened]


def said(bundle: Bundle) -> Receipt:
    """Return what a receipt of ours says; it was sealed by us, and its signature is for others to check."""
    return parse_receipt(decode_base64url(bundle.jws.split(".")[1]))


def of_access(vault: Vault, *, subject_id: UUID, now: datetime) -> Bundle | None:
    """Issue a receipt of an access; None if it cannot be written: nobody waits for that to see their data."""
    try:
        key = subjects.key(vault, subject_id)
        with vault.data.writing(patience_s=PATIENCE_S) as writing:
            subjects.check_exists(writing, subject_id)
            return subjects.issue_right_receipt_with_key(
                writing, vault, key, subject_id=subject_id, kind="access", now=now
            )
    except (DBAPIError, KekError, SealError) as error:
        logger.warning("no receipt of an access", error=type(error).__name__)
        return None


def prover(vault: Vault) -> Callable[[bytes], bytes]:
    """Return what adds to a receipt, as JSON, the proof that it is in the log as that is now."""
    try:
        now = log.latest_head(vault)
    except DBAPIError as error:
        logger.warning("no proofs of receipts", error=type(error).__name__)
        return lambda receipt: receipt

    def prove(receipt: bytes) -> bytes:
        proven = with_proof(vault, Bundle.model_validate_json(receipt), at=now)
        return proven.model_dump_json(exclude_none=True).encode()

    return prove


def with_proof(vault: Vault, bundle: Bundle, *, at: log.TreeHead | None = None) -> Bundle:
    """Return a receipt with the proof that it is in the log, once it is."""
    try:
        return bundle.model_copy(update={"proof": log.prove_inclusion(vault, bytes.fromhex(bundle.leaf), at=at)})
    except log.LeafNotFoundError:
        return bundle
    except (DBAPIError, KekError, SealError) as error:
        # The receipt is good without, and the proof can be had later.
        logger.warning("no proof of a receipt", error=type(error).__name__)
        return bundle
