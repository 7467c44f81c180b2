"""A subject's receipts: list them again, each with its proof once it is in the transparency log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.rights.personal_data import AddProof
from app.settings import Settings
from app.subjects import daily_receipts
from app.subjects import service as subjects
from app.transparency.log import service as log
from app.transparency.receipts import issue
from app.transparency.tables import ReceiptRow
from app.transparency.verify.bundle import Bundle
from app.transparency.verify.receipt import Receipt
from app.vault.seal import KekError, Key, SealError
from app.vault.vault import Vault

ISSUE_WAIT_S = 0.5
"""Longest wait of an access for its own receipt."""
MAX_ACCESS_RECEIPTS = 20
"""Receipts of access that one subject gets in a day (UTC). Further requests get the newest of them again."""
NEWEST = 5 * MAX_ACCESS_RECEIPTS
"""Newest receipts among which those of today are counted."""
logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OwnReceipt:
    """One receipt of a subject, with its position in their list and its parsed content."""

    id: UUID
    position: int
    content: Receipt
    bundle: Bundle


def list_receipts(session: Session, key: Key, *, subject_id: UUID, limit: int, before: int | None) -> list[OwnReceipt]:
    """Return the subject's receipts, newest first."""
    query = select(ReceiptRow).where(ReceiptRow.subject_id == subject_id)
    if before is not None:
        query = query.where(ReceiptRow.position < before)
    rows = session.scalars(query.order_by(ReceiptRow.position.desc()).limit(limit)).all()
    opened = [(row, issue.open_receipt(key, row.id, row.sealed)) for row in rows]
    return [OwnReceipt(row.id, row.position, issue.parse_bundle(bundle), bundle) for row, bundle in opened]


def issue_access_receipt(vault: Vault, *, subject_id: UUID, settings: Settings, now: datetime) -> Bundle | None:
    """Issue the receipt of an access; None if the store cannot be written soon, since access must not wait.

    After `MAX_ACCESS_RECEIPTS` of a day, the newest of them stands for further requests too: the count of the day
    (`AccessCount`) has them all, and the store does not grow with them.
    """
    try:
        key = subjects.key(vault, subject_id)
        # Before the write transaction: to open this many receipts takes long enough to delay other writers.
        with vault.data.read() as session:
            found = daily_receipts.find_of_today(
                session, key, subject_id=subject_id, kind="access", most=NEWEST, now=now
            )
            today = list(found)
        if len(today) >= MAX_ACCESS_RECEIPTS:
            return today[0]
        with vault.data.write(wait_s=ISSUE_WAIT_S) as session:
            subjects.get(session, subject_id)
            return subjects.issue_right_receipt(
                session, vault, subject_id, "access", settings=settings, now=now, own=key
            )
    except (DBAPIError, KekError, SealError) as error:
        logger.warning("no receipt of an access", error=type(error).__name__)
        return None


def proofs_at_head(vault: Vault) -> AddProof | None:
    """Return a function that adds proofs to receipts against the current head of the transparency log."""
    head = _signed_head(vault)
    if head is None:
        return None

    def add(stored: Sequence[bytes]) -> list[bytes]:
        proven = add_proofs(vault, [Bundle.model_validate_json(one) for one in stored], at=head)
        return [one.model_dump_json(exclude_none=True).encode() for one in proven]

    return add


def add_proofs(vault: Vault, bundles: Sequence[Bundle], *, at: log.SignedHead | None = None) -> list[Bundle]:
    """Return receipts, each with the proof that it is in the transparency log; unchanged while it is not there yet.

    Args:
        vault: the stores.
        bundles: the receipts of one page.
        at: the checkpoint of the proofs; the newest if None.
    """
    at = at or _signed_head(vault)
    if at is None or not bundles:
        return list(bundles)
    try:
        proofs = log.prove_inclusions(vault, [bytes.fromhex(one.leaf) for one in bundles], at=at)
    except DBAPIError as error:
        logger.warning("no proofs of receipts", error=type(error).__name__)
        return list(bundles)
    return [one.model_copy(update={"proof": proofs.get(bytes.fromhex(one.leaf))}) for one in bundles]


def _signed_head(vault: Vault) -> log.SignedHead | None:
    """Return the newest checkpoint; None if there is none now: receipts are valid without, and it can be had later."""
    try:
        return log.signed_head(vault)
    except (DBAPIError, KekError, SealError) as error:
        logger.warning("no proofs of receipts", error=type(error).__name__)
        return None
