"""Issue of a receipt: signed, with a salted leaf, and with a signed promise that the leaf will join the log."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.settings import Settings
from app.transparency.log import entries, signing_keys
from app.transparency.log.batch import promise_deadline
from app.transparency.receipts.content import format_time
from app.transparency.tables import KeyUse, ReceiptRow
from app.transparency.verify import jws
from app.transparency.verify.bundle import Bundle, Promise
from app.transparency.verify.canonical_json import decode_base64url, encode_base64url, encode_json
from app.transparency.verify.receipt import Receipt, encode_receipt, parse_receipt
from app.vault.seal import Key
from app.vault.sealing_context import sealing_context
from app.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class IssuedReceipt:
    """A signed receipt, and its leaf, which the caller adds to the log."""

    bundle: Bundle
    leaf: bytes

    def to_json(self) -> bytes:
        """Return the bundle as it is stored and exported."""
        return self.bundle.model_dump_json(exclude_none=True).encode()


def sign_receipt(vault: Vault, content: Receipt, *, settings: Settings, now: datetime) -> IssuedReceipt:
    """Sign a receipt. The caller writes its leaf, in the transaction of the act.

    Raises:
        KekError: the key-encryption key is not the register's.
    """
    private = signing_keys.load_private_key(vault, KeyUse.RECEIPTS)
    entry = entries.salt_record(encode_receipt(content))
    promise = Promise(
        origin=signing_keys.log_origin(vault.register.origin_id()),
        leaf=entry.leaf.hex(),
        log_key=signing_keys.current_thumbprint(vault, KeyUse.CHECKPOINTS),
        by=format_time(promise_deadline(now, settings.log_interval)),
    )
    bundle = Bundle(
        jws=jws.sign_token(entry.record, typ=jws.RECEIPT_TYPE, key=private),
        leaf=entry.leaf.hex(),
        salt=encode_base64url(entry.salt),
        promise=jws.sign_token(encode_json(promise.model_dump()), typ=jws.PROMISE_TYPE, key=private),
    )
    return IssuedReceipt(bundle, entry.leaf)


def issue_receipt(
    session: Session,
    vault: Vault,
    key: Key,
    *,
    subject_id: UUID,
    receipt_id: UUID,
    content: Receipt,
    settings: Settings,
    now: datetime,
) -> Bundle:
    """Sign a subject's receipt and write it, in the transaction of its act."""
    issued = sign_receipt(vault, content, settings=settings, now=now)
    entries.append_receipt(
        session, key, subject_id=subject_id, receipt_id=receipt_id, bundle=issued.to_json(), leaf=issued.leaf
    )
    return issued.bundle


def find_receipt(session: Session, key: Key, *, receipt_id: UUID) -> Bundle | None:
    """Return a subject's receipt as it was issued; None if no receipt has this id."""
    row = session.get(ReceiptRow, receipt_id)
    return None if row is None else open_receipt(key, row.id, row.sealed)


def parse_bundle(bundle: Bundle) -> Receipt:
    """Return the content of a receipt from our own store, without checking its signature."""
    return parse_receipt(decode_base64url(bundle.jws.split(".")[1]))


def open_receipt(key: Key, receipt_id: UUID, sealed: bytes) -> Bundle:
    """Open a receipt that was sealed for its row."""
    return Bundle.model_validate_json(key.open(sealed, sealing_context(ReceiptRow.sealed, receipt_id)))
